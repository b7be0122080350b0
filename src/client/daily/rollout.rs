//! `imagedepot rollout`: how fast a promotion reaches clients, and how far it is.

use clap::Subcommand;
use serde_json::Value;
use url::Url;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::exit_code::Exit;
use super::super::output::Output;
use super::super::table::record;
use super::assignment::{TermsArgs, named};
use super::call::CallArgs;
use super::change::Change;
use super::query::{if_set, with};
use super::reach;
use super::rollout_args::RolloutArgs;
use super::rollout_details;
use super::rollout_state::{told, words};

/// The arguments of `rollout`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the rollout of what is assigned, and how far it is
    Show(Place),
    /// Change the rollout; what is not given stays, and no client loses its place
    Set(SetArgs),
    /// Offer the revision to no further client until `resume`
    Pause(StopArgs),
    /// Go on after a pause or a halt; failures count afresh after a halt
    Resume(StopArgs),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Name of the image
    image: String,
    /// Channel that it is promoted to
    channel: String,
}

#[derive(Debug, clap::Args)]
struct StopArgs {
    #[command(flatten)]
    place: Place,
    /// Reason for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rollout: RolloutArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// Only report what would happen
    #[arg(long)]
    dry_run: bool,
}

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
            Self::Show(place) => place,
            Self::Set(args) => &args.place,
            Self::Pause(args) | Self::Resume(args) => &args.place,
        }
    }
}

impl Place {
    fn address(&self, connection: &Connection, more: &[&str]) -> Result<Url, Failure> {
        connection.api(&[&["images", &self.image, "channels", &self.channel], more].concat())
    }
}

async fn act(connection: &Connection, action: &Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::Show(place) => show(connection, place, output).await,
        Action::Set(args) => {
            let change = Change::default().with_all(args.rollout.fields()?);
            let change = args.terms.added_to(change);
            let address = args.place.address(connection, &[])?;
            let address = with(address, &[("dry_run", if_set(args.dry_run))]);
            let changed = change.send(connection, address).await?;
            let done = if args.dry_run { "would be rolled out" } else { "is rolled out" };
            tell(&args.place, done, &changed, output)
        }
        Action::Pause(StopArgs { place, note }) => {
            let change = Change::default().with("paused", Some(true));
            let change = change.with("note", note.as_deref());
            let paused = change.send(connection, place.address(connection, &[])?).await?;
            tell(place, "is paused", &paused, output)
        }
        Action::Resume(args) => resume(connection, args, output).await,
    }
}

async fn show(connection: &Connection, place: &Place, output: Output) -> Result<(), Failure> {
    let mut assignment: Value = connection.get(place.address(connection, &[])?).await?;
    let progress = connection.get(place.address(connection, &["progress"])?).await;
    let progress: Value = match progress {
        // Older servers do not count.
        Err(failure) if failure.exit() == Exit::NotFound => Value::Null,
        progress => progress?,
    };
    let first = ["image", "channel", "revision", "epoch", "mandatory", "deadline", "note"];
    let about = record(&assignment, &first, &["rollout", "pending"]);
    let mut parts = vec![told(&about, &assignment)];
    parts.extend(rollout_details::parts(&assignment["rollout"]));
    parts.extend(rollout_details::progress(&progress));
    assignment["progress"] = progress;
    output.result(&parts.join("\n\n"), &assignment)
}

/// Ends a pause, and a halt if there is one. That is asked before: ending a halt that does not exist would begin the
/// count of failures afresh.
async fn resume(
    connection: &Connection,
    StopArgs { place, note }: &StopArgs,
    output: Output,
) -> Result<(), Failure> {
    let assignment: Value = connection.get(place.address(connection, &[])?).await?;
    // A rollout that is paused, too, has the state `paused`.
    let rollout = &assignment["rollout"];
    let is_halted = rollout["state"] == "halted" || rollout["halted"].is_object();
    let change = Change::default()
        .with("paused", Some(false))
        .with("halted", is_halted.then_some(false))
        .with("note", note.as_deref());
    let resumed = change.send(connection, place.address(connection, &[])?).await?;
    tell(place, "goes on", &resumed, output)
}

fn tell(place: &Place, done: &str, answer: &Value, output: Output) -> Result<(), Failure> {
    if answer["revision"].is_null() {
        let sentence = format!("the rollout in {} is the same as before", place.channel);
        return output.result(&told(&sentence, answer), answer);
    }
    let sentence = format!(
        "{} revision {} {done} in {} ({}){}",
        place.image,
        cell::text(&answer["revision"]),
        place.channel,
        words(&answer["rollout"]),
        reach::of(answer),
    );
    output.result(&told(&sentence, answer), answer)
}

#[cfg(test)]
mod tests;
