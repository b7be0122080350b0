//! `imagedepot client`: the machines that check for updates, as the server has them on record.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record};
use super::call::CallArgs;
use super::moment::Moment;
use super::pages::{ListArgs, items};
use super::query::with;

/// The arguments of `client`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the clients on record
    List(FilterArgs),
    /// Show a client: what it has, and what it was told and has reported
    Show {
        /// Id of the client
        #[arg(value_name = "CLIENT")]
        id: String,
    },
    /// Delete clients from the record; a client that checks again is recorded again
    Delete {
        /// Id of the client
        #[arg(value_name = "CLIENT", required_unless_present = "matching")]
        id: Option<String>,
        /// Delete all clients whose ids match this pattern, with *
        #[arg(long, value_name = "PATTERN", conflicts_with = "id")]
        matching: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only clients that check for this image
    #[arg(long)]
    image: Option<String>,
    /// Only clients of this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only clients that have this revision
    #[arg(long)]
    revision: Option<u64>,
    /// Only clients of this group
    #[arg(long)]
    group: Option<String>,
    /// Only clients whose last report has this status
    #[arg(long)]
    status: Option<String>,
    /// Only clients that checked last before this time, or before this last duration
    #[arg(long, value_name = "TIME", value_parser = Moment::ago)]
    seen_before: Option<Moment>,
    /// Only clients that checked after this time, or in this last duration
    #[arg(long, value_name = "TIME", value_parser = Moment::ago)]
    seen_after: Option<Moment>,
    /// Only clients whose ids match this pattern, with *
    #[arg(long, value_name = "PATTERN")]
    matching: Option<String>,
    #[command(flatten)]
    length: ListArgs,
}

const COLUMNS: &[Column] = &[
    Column::text("CLIENT", |client| cell::text(one_of(client, &["client", "id"]))),
    Column::text("IMAGE", |client| cell::text(&client["image"])),
    Column::text("CHANNEL", |client| cell::text(&client["channel"])),
    Column::number("REVISION", |client| cell::text(&client["revision"])),
    Column::text("GROUP", |client| cell::text(&client["group"])),
    Column::text("STATUS", |client| cell::text(&client["status"])),
    Column::text("LAST SEEN", |client| {
        cell::time(one_of(client, &["last_seen", "last_check", "seen_at"]))
    }),
    Column::text("ADDRESS", |client| cell::text(&client["address"])),
];

/// Returns the first of these fields that the document has.
fn one_of<'a>(document: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().find_map(|name| document.get(name)).unwrap_or(&Value::Null)
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        act(&connection, args.action, output).await
    };
    output.unless_failed(done.await)
}

async fn act(connection: &Connection, action: Action, output: Output) -> Result<(), Failure> {
    let clients = connection.api(&["clients"])?;
    match action {
        Action::List(filter) => {
            let revision = filter.revision.map(|revision| revision.to_string());
            let list = with(clients, &filter.parameters(revision.as_deref()));
            output.list(COLUMNS, &items(connection, list, filter.length).await?)
        }
        Action::Show { id } => {
            let client: Value = connection.get(connection.api(&["clients", &id])?).await?;
            let first = ["client", "id", "group", "address", "agent"];
            output.result(&record(&client, &first, &[]), &client)
        }
        Action::Delete { id, matching } => {
            let (which, address) = match (id, matching) {
                (Some(id), _) => (id.clone(), connection.api(&["clients", &id])?),
                (None, pattern) => {
                    let address = with(clients, &[("q", pattern.as_deref())]);
                    (pattern.unwrap_or_default(), address)
                }
            };
            let answer = connection.delete(address).await?;
            let answer = answer.unwrap_or_else(|| json!({"deleted": which}));
            output.result(&format!("{which} is no longer on record"), &answer)
        }
    }
}

impl FilterArgs {
    fn parameters<'a>(&'a self, revision: Option<&'a str>) -> [(&'a str, Option<&'a str>); 8] {
        [
            ("image", self.image.as_deref()),
            ("channel", self.channel.as_deref()),
            ("revision", revision),
            ("group", self.group.as_deref()),
            ("status", self.status.as_deref()),
            ("seen_before", self.seen_before.as_ref().map(Moment::as_str)),
            ("seen_after", self.seen_after.as_ref().map(Moment::as_str)),
            ("q", self.matching.as_deref()),
        ]
    }
}
