//! `imagedepot history`: every promotion, rollback and withdrawal of an image.

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::table::Column;
use super::call::CallArgs;
use super::pages::{ListArgs, items_that};

/// The arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the image
    image: String,
    /// Only this channel
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    length: ListArgs,
    #[command(flatten)]
    call: CallArgs,
}

const COLUMNS: &[Column] = &[
    Column::text("AT", |entry| cell::time(&entry["at"])),
    Column::text("CHANNEL", |entry| cell::text(&entry["channel"])),
    Column::number("EPOCH", |entry| cell::text(&entry["epoch"])),
    Column::text("KIND", |entry| cell::text(&entry["kind"])),
    Column::number("REVISION", |entry| cell::text(&entry["revision"])),
    Column::text("UNDONE", |entry| cell::text(&entry["rolled_back"])),
    Column::text("BY", |entry| cell::text(&entry["by"])),
    Column::text("NOTE", |entry| cell::first_line(&entry["note"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let list = connection.api(&["images", &args.image, "promotions"])?;
        let is_wanted = |entry: &serde_json::Value| {
            let channel = entry["channel"].as_str().unwrap_or_default();
            args.channel.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(channel))
        };
        match items_that(&connection, list, args.length, is_wanted).await {
            Ok(entries) => output.list(COLUMNS, &entries),
            Err(failure) => Err(absent::named(&connection, failure, &args.image, None).await),
        }
    };
    output.unless_failed(done.await)
}
