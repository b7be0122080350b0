//! `imagedepot pin`: the clients that have a revision of their own in a channel.

use clap::Subcommand;
use serde_json::{Value, json};
use url::Url;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record};
use super::assignment::named;
use super::call::CallArgs;
use super::change::Change;
use super::pages::{ListArgs, items};

/// The arguments of `pin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the pinned clients
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        length: ListArgs,
    },
    /// Show the revision of a client
    Show(OneArgs),
    /// Offer this revision to the client, whatever is assigned
    Set(SetArgs),
    /// Let the client follow the channel again
    Delete(OneArgs),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Name of the image
    image: String,
    /// Channel that the client asks for
    channel: String,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    #[command(flatten)]
    place: Place,
    /// Id of the client
    client: String,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Number of the revision
    revision: u64,
    /// Reason
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::text("CLIENT", |pin| cell::text(&pin["client"])),
    Column::number("REVISION", |pin| cell::text(&pin["revision"])),
    Column::text("AT", |pin| cell::time(&pin["at"])),
    Column::text("BY", |pin| cell::text(&pin["by"])),
    Column::text("NOTE", |pin| cell::first_line(&pin["note"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let place = args.action.place();
        let done = act(&connection, &args.action, output).await;
        named(&connection, done, &place.image, &place.channel).await
    };
    output.unless_failed(done.await)
}

impl Action {
    const fn place(&self) -> &Place {
        match self {
            Self::List { place, .. } => place,
            Self::Set(args) => &args.one.place,
            Self::Show(one) | Self::Delete(one) => &one.place,
        }
    }
}

impl OneArgs {
    fn address(&self, connection: &Connection) -> Result<Url, Failure> {
        let Place { image, channel } = &self.place;
        connection.api(&["images", image, "channels", channel, "pins", &self.client])
    }
}

async fn act(connection: &Connection, action: &Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::List { place: Place { image, channel }, length } => {
            let list = connection.api(&["images", image, "channels", channel, "pins"])?;
            output.list(COLUMNS, &items(connection, list, *length).await?)
        }
        Action::Show(one) => {
            let pin: Value = connection.get(one.address(connection)?).await?;
            output.result(&record(&pin, &["client", "revision", "at", "by", "note"], &[]), &pin)
        }
        Action::Set(SetArgs { one, revision, note }) => {
            let new = Change::default()
                .with("revision", Some(*revision))
                .with("note", note.as_deref())
                .into_document();
            let pin: Value = connection.put_once(one.address(connection)?, &new).await?;
            output.result(&format!("{} is offered revision {revision}", one.client), &pin)
        }
        Action::Delete(one) => {
            connection.delete(one.address(connection)?).await?;
            let sentence = format!("{} follows {} again", one.client, one.place.channel);
            output.result(&sentence, &json!({"client": one.client, "pinned": false}))
        }
    }
}
