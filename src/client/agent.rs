//! `imagedepot agent`: keeps images up to date on a client computer that nobody looks after.
//!
//! `settings` says which images. On the machine's slot, each `kept_image` does a `round`: it asks the `depot` what it is to
//! have, a server over its `link` or a tree alone (`by_tree`), has the files fetched as [`pull`](super::pull) fetches them
//! (`fetching`), makes the revision the one in use (`changing`, `layout`), runs the administrator's `command` and reports.
//! `prestaged` lays the revision in use into a MED-V client's store as well.
//! `record` is what has to be remembered in between, and `status` shows it.
//!
//! The agent needs no orderly end: it may be killed at any moment, and goes on.

mod by_tree;
mod changing;
mod command;
mod depot;
mod fetching;
mod kept_image;
mod layout;
mod link;
mod ours;
mod prestaged;
mod record;
mod round;
mod settings;
mod settings_file;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use self::depot::Depot;
use self::kept_image::KeptImage;
use self::link::{Link, TreeAddress};
use self::round::Outcome;
use self::settings::{Image, PERIOD, Settings, TRUST_STATE};
use super::bandwidth::{Bandwidth, Line, LineArgs};
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

    /// Read this tree instead of asking a server, such as a mirror's or a bucket's; it is believed for its signatures
    /// alone
    #[arg(long, value_name = "URL")]
    tree: Option<String>,

    /// Root of trust (root.json), as `trust export-root` writes it: what is offered has to be signed
    #[arg(long, value_name = "ROOT")]
    trust: Option<PathBuf>,

    /// Check once and end
    #[arg(long)]
    once: bool,

    /// Sentences for people or JSON for scripts: one object for each round of an image
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    line: LineArgs,

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
        link: link(&settings, &server)?,
        client: this_client(settings.client.as_ref())?,
        group: settings.group,
        period: settings.period,
        line: Line::new(settings.bandwidth),
        reading: Arc::default(),
        progress: Progress::for_output(output),
    };
    if once {
        let images = settings.images.into_iter().map(KeptImage::open);
        return one_round(&mut images.collect::<Result<Vec<_>, _>>()?, &depot, output).await;
    }
    let kept = settings.images.into_iter().map(|image| keep_one(image, depot.clone(), output));
    futures_util::future::try_join_all(kept).await.map(drop)
}

/// Opens the way to the depot. With a root of trust and no tree, what the server offers has to be signed in its own tree.
fn link(settings: &Settings, server: &ServerArgs) -> Result<Link, Failure> {
    let state = settings.trust_state.clone();
    let root = settings.trust.clone();
    let address = |url: String| root.map(|root| TreeAddress { url, root, state });
    let depot = server.address(&|name| std::env::var_os(name))?;
    let url = settings.tree.clone().unwrap_or_else(|| format!("{depot}MEDVImages/"));
    match (&settings.tree, address(url)) {
        (Some(_), Some(tree)) => Link::to_tree(server, tree),
        (_, tree) => Link::to_server(server, tree),
    }
}

/// Keeps one image up to date for ever. Fails only if nobody can be told of anything any more.
async fn keep_one(
    settings: Image,
    mut depot: Depot,
    output: Output,
) -> Result<std::convert::Infallible, Failure> {
    let name = settings.name.clone();
    // The disk of the images may come later than the agent.
    let mut image = loop {
        match KeptImage::open(settings.clone()) {
            Ok(image) => break image,
            Err(failure) => tell(name.as_str(), &failure, output)?,
        }
        tokio::time::sleep(FIRST_REPEAT).await;
    };
    let mut away = 0;
    loop {
        if let Err(failure) = depot.link.renew() {
            tell(name.as_str(), &failure, output)?;
        }
        let wait = match image.round(&depot).await {
            Ok(outcome) => {
                say(name.as_str(), &outcome, output)?;
                if let Some(error) = &outcome.failed {
                    tell(name.as_str(), &Failure::new(Exit::Other, error.clone()), output)?;
                }
                away = 0;
                outcome.wait
            }
            Err(failure) => {
                tell(name.as_str(), &failure, output)?;
                away = if failure.exit() == Exit::Unreachable { away + 1 } else { 0 };
                let asked = failure.retry_after().unwrap_or_default();
                pause(depot.period.min(LONGEST_REPEAT), away).max(asked)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// One round of every image. Fails with the first failure.
async fn one_round(images: &mut [KeptImage], depot: &Depot, output: Output) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for image in images {
        match image.round(depot).await {
            Ok(outcome) => {
                say(image.name(), &outcome, output)?;
                let failed = outcome.failed.map(|error| Failure::new(Exit::Other, error));
                failures.extend(failed.map(|failure| failure.while_doing(image.name())));
            }
            Err(failure) => failures.push(failure.while_doing(image.name())),
        }
    }
    let mut failures = failures.into_iter();
    let first = failures.next();
    for failure in failures {
        complain(&format!("imagedepot: {failure}"));
    }
    first.map_or(Ok(()), Err)
}

/// Returns the time until the next round: the slot, or sooner if the depot could not be reached.
fn pause(slot: Duration, failed: u32) -> Duration {
    if failed == 0 {
        return slot;
    }
    let doubled = FIRST_REPEAT.saturating_mul(1 << (failed - 1).min(8));
    doubled.min(LONGEST_REPEAT).min(slot)
}

/// Tells of a round that failed: on standard error for people, and as its result for scripts.
fn tell(image: &str, failure: &Failure, output: Output) -> Result<(), Failure> {
    complain(&format!("imagedepot: {image}: {failure}"));
    if output == Output::Text {
        return Ok(());
    }
    output.result("", &json!({"image": image, "error": failure.problem()["error"]}))
}

/// Tells of a round. A quiet one is worth a line only for scripts.
fn say(image: &str, outcome: &Outcome, output: Output) -> Result<(), Failure> {
    let Outcome { revision, is_new, answer, waits_for, .. } = outcome;
    if output == Output::Text && !is_new && waits_for.is_none() {
        return Ok(());
    }
    let number = revision.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let waits =
        waits_for.as_ref().map(|reason| format!(", waits for {reason}")).unwrap_or_default();
    let sentence = format!("{image}: revision {number} is in use ({answer}{waits})");
    let document = json!({"image": image, "revision": revision, "changed": is_new,
        "answer": answer, "waits_for": waits_for});
    output.result(&sentence, &document)
}

fn settings(args: &Args, server: &mut ServerArgs) -> Result<Settings, Failure> {
    let (client, group) = (args.client.clone(), args.group.clone());
    match (&args.place.config, &args.place.to) {
        (Some(file), None) if args.images.is_empty() && args.channel.is_none() => {
            let mut settings = settings_file::read(file, server)?;
            settings.client = client.or(settings.client);
            settings.group = group.or(settings.group);
            settings.tree = args.tree.clone().or(settings.tree);
            settings.trust = args.trust.clone().or(settings.trust);
            settings.bandwidth = args.line.clone().or(settings.bandwidth);
            settings.check().map_err(Failure::usage)?;
            Ok(settings)
        }
        (None, Some(folder)) if !args.images.is_empty() => {
            let channel = args.channel.clone().unwrap_or_else(ChannelName::production);
            let image = |name: &ImageName| {
                Image::plain(name.clone(), channel.clone(), folder.join(name.as_str()))
            };
            let settings = Settings {
                tree: args.tree.clone(),
                trust: args.trust.clone(),
                client,
                group,
                period: PERIOD,
                bandwidth: args.line.clone().or(Bandwidth::default()),
                trust_state: folder.join(TRUST_STATE),
                images: args.images.iter().map(image).collect(),
            };
            settings.check().map_err(Failure::usage)?;
            Ok(settings)
        }
        (Some(_), _) => Err(Failure::usage(
            "with --config, images, channels and folders are in the file: leave out NAME, --channel and --to",
        )),
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
        let seconds = |failed| pause(Duration::from_secs(700), failed).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 60].map(seconds), [700, 60, 120, 240, 480, 700, 700]);
        assert_eq!(pause(Duration::from_hours(24), 9), LONGEST_REPEAT);
    }
}
