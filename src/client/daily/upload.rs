//! `imagedepot upload`: the uploads in progress.

use clap::Subcommand;
use serde_json::json;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::Column;
use super::call::CallArgs;
use super::pages::{ListArgs, items};

/// The arguments of `upload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the open uploads, oldest first
    List(ListArgs),
    /// Cancel an upload: its bytes are removed, and its disk space is free again
    Cancel {
        /// Id of the upload
        #[arg(value_name = "UPLOAD")]
        id: String,
    },
}

const COLUMNS: &[Column] = &[
    Column::id("UPLOAD", |upload| cell::text(&upload["id"])),
    Column::text("IMAGE", |upload| cell::text(&upload["image"])),
    Column::number("REVISION", |upload| cell::text(&upload["revision"])),
    Column::text("FILE", |upload| cell::text(&upload["role"])),
    Column::number("RECEIVED", |upload| cell::bytes(&upload["received"])),
    Column::number("SIZE", |upload| cell::bytes(&upload["size"])),
    Column::text("BY", |upload| cell::text(&upload["created_by"])),
    Column::text("PROGRESS AT", |upload| cell::time(&upload["updated_at"])),
    Column::text("EXPIRES", |upload| cell::time(&upload["expires_at"])),
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
    match action {
        Action::List(length) => {
            output.list(COLUMNS, &items(connection, connection.api(&["uploads"])?, length).await?)
        }
        Action::Cancel { id } => {
            connection.delete(connection.api(&["uploads", &id])?).await?;
            output.result(&format!("upload {id} was cancelled"), &json!({"id": id}))
        }
    }
}
