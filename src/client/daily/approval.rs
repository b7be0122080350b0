//! `imagedepot approve`: the word of a second person for a promotion that waits for it.

use serde_json::{Value, json};

use super::super::connection::Connection;
use super::super::error::Failure;
use super::assignment::{assigned, named};
use super::call::CallArgs;
use super::query::{if_set, with};

/// The arguments of `approve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the image
    image: String,
    /// Channel in which the promotion waits
    channel: String,
    /// Take your approval back
    #[arg(long, conflicts_with = "dry_run")]
    take_back: bool,
    /// Only report what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    call: CallArgs,
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        let done = act(&connection, &args).await;
        named(&connection, done, &args.image, &args.channel).await
    };
    args.call.output.unless_failed(done.await)
}

async fn act(connection: &Connection, args: &Args) -> Result<(), Failure> {
    let Args { image, channel, dry_run, call, .. } = args;
    let address = connection.api(&["images", image, "channels", channel, "approve"])?;
    if args.take_back {
        connection.delete(address).await?;
        let sentence = format!("your approval for {image} in {channel} is taken back");
        let taken_back = json!({"image": image, "channel": channel, "approved": false});
        return call.output.result(&sentence, &taken_back);
    }
    let address = with(address, &[("dry_run", if_set(*dry_run))]);
    let approved: Value = connection.post_for(address, None).await?;
    assigned(&approved, image, channel, *dry_run, call.output)
}
