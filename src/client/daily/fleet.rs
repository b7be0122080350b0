//! `imagedepot client`: the machines that check for updates, as the server has them on record.

use clap::Subcommand;
use serde_json::Value;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record, table};
use super::call::CallArgs;
use super::moment::Moment;
use super::pages::{ListArgs, items};
use super::query::{if_set, with};

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
        /// Only report how many would be deleted
        #[arg(long)]
        dry_run: bool,
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
    /// Only clients that had this revision at their last check; 0 for none
    #[arg(long)]
    revision: Option<u64>,
    /// Only clients of this group
    #[arg(long)]
    group: Option<String>,
    /// Only clients whose last report says so
    #[arg(long, value_parser = ["downloading", "applied", "failed", "rolled_back"])]
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
    Column::text("CLIENT", |entry| cell::text(&entry["client"])),
    Column::text("IMAGE", |entry| cell::text(&entry["image"])),
    Column::text("CHANNEL", |entry| cell::text(&entry["channel"])),
    Column::number("REVISION", |entry| cell::text(&entry["revision"])),
    Column::text("GROUP", |entry| cell::text(&entry["group"])),
    Column::text("ANSWER", |entry| cell::text(&entry["reason"])),
    Column::text("REPORT", |entry| cell::text(&entry["status"])),
    Column::text("LAST SEEN", |entry| cell::time(&entry["last_seen"])),
    Column::text("ADDRESS", |entry| cell::text(&entry["address"])),
];

/// The columns for one client, with the error that it reported.
const OF_ONE: &[Column] = &[
    Column::text("IMAGE", |entry| cell::text(&entry["image"])),
    Column::text("CHANNEL", |entry| cell::text(&entry["channel"])),
    Column::number("REVISION", |entry| cell::text(&entry["revision"])),
    Column::text("GROUP", |entry| cell::text(&entry["group"])),
    Column::text("ANSWER", |entry| cell::text(&entry["reason"])),
    Column::text("LAST SEEN", |entry| cell::time(&entry["last_seen"])),
    Column::text("REPORT", |entry| cell::text(&entry["status"])),
    Column::number("ON", |entry| cell::text(&entry["reported_revision"])),
    Column::text("ERROR", |entry| cell::first_line(&entry["error"])),
];

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
            output.result(&text_of(&client), &client)
        }
        Action::Delete { id, matching, dry_run } => {
            let address = match &id {
                Some(id) => connection.api(&["clients", id])?,
                None => with(clients, &[("q", matching.as_deref())]),
            };
            let address = with(address, &[("dry_run", if_set(dry_run))]);
            let deleted = connection.delete(address).await?.unwrap_or_default();
            let done = if dry_run { "would be deleted from" } else { "were deleted from" };
            let count = cell::text(&deleted["clients"]);
            output.result(&format!("{count} clients {done} the record"), &deleted)
        }
    }
}

/// Returns a client as a record, and what it asked of each image and channel.
fn text_of(client: &Value) -> String {
    let about = record(client, &["client"], &["items"]);
    match client["items"].as_array() {
        Some(entries) => format!("{about}\n\n{}", table(OF_ONE, entries)),
        None => about,
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
