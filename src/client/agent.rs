//! `imagedepot agent`: keeps images up to date on a client computer that nobody looks after.
//!
//! `settings` says which images. On the machine's slot, each `kept_image` asks the `depot` what it is to have, has the
//! files fetched as [`pull`](super::pull) fetches them, makes the revision the one in use (`layout`), runs the
//! administrator's `command` and reports. `record` is what has to be remembered in between, and `status` shows it.
//!
//! The agent needs no orderly end: it may be killed at any moment, and goes on.

mod command;
mod depot;
mod kept_image;
mod layout;
mod record;
mod settings;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use self::depot::Depot;
use self::kept_image::{KeptImage, Outcome};
use self::settings::{Image, Settings};
use super::connection::Connection;
use super::credentials::ServerArgs;
use super::error::Failure;
use super::exit_code::{EXIT_CODES, Exit};
use super::folder::folder;
use super::output::{Output, complain};
use super::progress::Progress;
use super::pull::update_check::this_client;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The time after which a check that failed is repeated, doubled for each failure up to the longest.
const FIRST_REPEAT: Duration = Duration::from_mins(1);
const LONGEST_REPEAT: Duration = Duration::from_mins(15);

/// Keep images up to date on this machine: check, fetch, change and report
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// Names of the images
    #[arg(value_name = "NAME")]
    images: Vec<ImageName>,

    #[command(flatten)]
    place: PlaceArgs,

    /// Take the revisions that this channel offers [default: production]
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<ChannelName>,

    #[arg(
        long,
        value_name = "ID",
        help = "Id of this client [env: IMAGEDEPOT_CLIENT] [default: this machine's name]"
    )]
    client: Option<ClientId>,

    /// Group that this machine is in; rollouts may begin with some groups
    #[arg(long, value_name = "NAME")]
    group: Option<ClientGroup>,

    /// Check once and end
    #[arg(long)]
    once: bool,

    /// Sentences for people or JSON for scripts: one object for each round of an image
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

/// The place of the images.
#[derive(Debug, Clone, clap::Args)]
struct PlaceArgs {
    /// Folder of the images: DIR/NAME/REVISION, and DIR/NAME/current for the one in use
    #[arg(long, value_name = "DIR", value_parser = folder())]
    to: Option<PathBuf>,

    /// Settings of the agent (TOML): server, folder, images, commands
    #[arg(id = "config", long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Show what the agent of this machine has and did last
    Status(status::Args),
}

/// Runs until it is ended, or once.
pub async fn run(args: Args) -> Result<(), Failure> {
    if let Some(Verb::Status(status)) = args.verb {
        return status::run(&status);
    }
    let output = args.output;
    output.unless_failed(keep_up_to_date(args).await)
}

async fn keep_up_to_date(args: Args) -> Result<(), Failure> {
    let (once, output) = (args.once, args.output);
    let mut server = args.server.clone();
    let settings = settings(&args, &mut server)?;
    let depot = Depot {
        connection: Connection::open(&server)?,
        client: this_client(settings.client.as_ref())?,
        group: settings.group,
        progress: Progress::for_output(output),
    };
    let open = |image| KeptImage::open(image, &settings.folder);
    let mut images: Vec<_> = settings.images.into_iter().map(open).collect::<Result<_, _>>()?;
    let mut failed = 0;
    loop {
        let (wait, failures) = rounds(&mut images, &depot, output).await?;
        let mut failures = failures.into_iter();
        let first = if once { failures.next() } else { None };
        let is_away = |failure: &Failure| failure.exit() == Exit::Unreachable;
        failed = if failures.as_slice().iter().any(is_away) { failed + 1 } else { 0 };
        for failure in failures {
            complain(&format!("imagedepot: {failure}"));
        }
        if once {
            return first.map_or(Ok(()), Err);
        }
        tokio::time::sleep(pause(wait, failed)).await;
    }
}

/// One round of every image. Returns the time until this machine's slot, and what failed.
async fn rounds(
    images: &mut [KeptImage],
    depot: &Depot,
    output: Output,
) -> Result<(Option<Duration>, Vec<Failure>), Failure> {
    let (mut wait, mut failures) = (None, Vec::new());
    for image in images {
        match image.round(depot).await {
            Ok(outcome) => {
                say(image.name(), &outcome, output)?;
                let failed = outcome.failed.map(|error| Failure::new(Exit::Other, error));
                failures.extend(failed.map(|failure| failure.while_doing(image.name())));
                wait = Some(wait.map_or(outcome.wait, |other: Duration| other.min(outcome.wait)));
            }
            Err(failure) => failures.push(failure.while_doing(image.name())),
        }
    }
    Ok((wait, failures))
}

/// Returns the time until the next round: the slot, or sooner if the depot could not be reached.
fn pause(slot: Option<Duration>, failed: u32) -> Duration {
    let slot = slot.unwrap_or(LONGEST_REPEAT);
    if failed == 0 {
        return slot;
    }
    let doubled = FIRST_REPEAT.saturating_mul(1 << (failed - 1).min(8));
    doubled.min(LONGEST_REPEAT).min(slot)
}

/// Tells of a round. A quiet one is worth a line only for scripts.
fn say(image: &str, outcome: &Outcome, output: Output) -> Result<(), Failure> {
    let Outcome { revision, is_new, answer, .. } = outcome;
    if output == Output::Text && !is_new {
        return Ok(());
    }
    let number = revision.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let sentence = format!("{image}: revision {number} is in use ({answer})");
    let document =
        json!({"image": image, "revision": revision, "changed": is_new, "answer": answer});
    output.result(&sentence, &document)
}

fn settings(args: &Args, server: &mut ServerArgs) -> Result<Settings, Failure> {
    let (client, group) = (args.client.clone(), args.group.clone());
    match (&args.place.config, &args.place.to) {
        (Some(file), None) if args.images.is_empty() && args.channel.is_none() => {
            let settings = Settings::read(file, server)?;
            let client = client.or_else(|| settings.client.clone());
            let group = group.or_else(|| settings.group.clone());
            Ok(Settings { client, group, ..settings })
        }
        (None, Some(folder)) if !args.images.is_empty() => {
            let channel = args.channel.clone().unwrap_or_else(ChannelName::production);
            let image = |name: &ImageName| Image::plain(name.clone(), channel.clone());
            let images = args.images.iter().map(image).collect();
            let settings = Settings { client, group, folder: folder.clone(), images };
            settings.check().map_err(Failure::usage)?;
            Ok(settings)
        }
        _ => Err(Failure::usage(
            "name the images and their folder (NAME --to DIR), or a file that does (--config FILE)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depot_that_is_away_is_asked_again_soon_and_then_ever_later() {
        let slot = Some(Duration::from_secs(700));
        let seconds = |failed| pause(slot, failed).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 60].map(seconds), [700, 60, 120, 240, 480, 700, 700]);
        assert_eq!(pause(None, 9), LONGEST_REPEAT);
    }
}
