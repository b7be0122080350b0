//! `imagedepot mirror`: keeps a copy of channels at another site, for any web server to serve; or is such a server itself,
//! which fetches what it is asked for (`on_demand`).
//!
//! Each look (`copying`) reads the tree's signed metadata, fetches what is missing (`fetching`) of what the documents of
//! the channels name (`manifest`), and removes what nothing names any more (`leaving`), by the user's `rules`. `served`
//! is the folder, `record` what the mirror has to remember, `pace` the times at which it looks, and `told` what the depot
//! hears of it.
//!
//! A mirror needs no orderly end: it may be killed at any moment, and goes on.

mod copying;
mod fetching;
mod leaving;
mod manifest;
mod on_demand;
mod pace;
mod record;
mod rules;
mod served;
mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use self::copying::{Copying, Outcome};
use self::on_demand::{OnDemandArgs, Tree};
use self::pace::pause;
use self::record::Held;
use self::rules::Rules;
use self::served::Served;
use self::told::{Kind, Told};
use super::bandwidth::{Bandwidth, Line, LineArgs, is_outside_hours};
use super::credentials::ServerArgs;
use super::error::Failure;
use super::exit_code::{EXIT_CODES, Exit};
use super::folder::folder;
use super::output::{Output, complain};
use super::progress::Progress;
use super::trust::copy::MetadataCopy;
use crate::model::{ChannelName, ClientId};

/// The name of the tree on a depot's server.
const TREE: &str = "MEDVImages/";

/// Keep a copy of channels at another site, for any web server to serve
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Names of the channels
    #[arg(
        value_name = "CHANNEL",
        required_unless_present = "on_demand",
        conflicts_with = "on_demand"
    )]
    channels: Vec<ChannelName>,

    /// Folder of the copy, which is a tree of its own: DIR/channel.json and the files of production, DIR/test and so on.
    /// On demand, a folder of this mirror's own
    #[arg(long, value_name = "DIR", value_parser = folder())]
    to: PathBuf,

    /// Root of trust (root.json), as `trust export-root` writes it
    #[arg(long, value_name = "ROOT")]
    trust: PathBuf,

    /// The tree to copy, such as another mirror's or a bucket's [default: the server's]
    #[arg(long, value_name = "URL")]
    tree: Option<String>,

    /// Look once and end
    #[arg(long, conflicts_with = "on_demand")]
    once: bool,

    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = pace::look_every, default_value = "60s")]
    look_every: Duration,

    /// Time for which a file stays that is not offered any more; indexes and revoked revisions leave at once
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "24h", conflicts_with = "on_demand")]
    grace: Duration,

    /// Number of earlier revisions of an image that stay, as far as the depot keeps them, too
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "on_demand")]
    keep: usize,

    #[arg(
        long,
        value_name = "NAME",
        help = "Name of this mirror at the depot [env: IMAGEDEPOT_CLIENT] [default: this machine's name]"
    )]
    name: Option<ClientId>,

    /// Sentences for people or JSON for scripts: one object for each look that changed something
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    line: LineArgs,

    #[command(flatten)]
    on_demand: OnDemandArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// Runs until it is ended, or once.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    output.unless_failed(follow(args).await)
}

async fn follow(args: Args) -> Result<(), Failure> {
    let address = tree_address(&args)?;
    let kind = if args.on_demand.on_demand { Kind::OnDemand } else { Kind::Copy };
    let told = Told::new(kind, args.name.as_ref(), &args.server)?;
    if kind == Kind::OnDemand {
        let Args { server, trust, to, .. } = &args;
        if args.line.has_hours() {
            let words =
                "--hours is for copies: whoever asks a mirror on demand waits for an answer";
            return Err(Failure::usage(words));
        }
        let line = Line::new(args.line.clone().or(Bandwidth::default()));
        let tree = Tree { server, address: &address, root: trust, folder: to, line };
        return on_demand::run(args.on_demand.clone(), tree, args.look_every, told, args.output)
            .await;
    }
    let served = Served::at(&args.to);
    let incoming = served.incoming();
    let mut metadata =
        MetadataCopy::open(&args.server, &address, &args.trust, &args.to, &incoming)?;
    let line = Line::new(args.line.clone().or(Bandwidth::default()));
    metadata.source.connection = metadata.source.connection.on_line(line);
    let held = Held::take(&args.to)?;
    served.make_incoming()?;
    let rules = Rules { channels: args.channels, keep: args.keep, grace: args.grace };
    let progress = Progress::for_output(args.output);
    let mut copying = Copying { metadata, served, held, rules, progress, picture: None };
    if let Err(failure) = copying.finish_publication().await {
        complain(&format!("imagedepot: what was begun is not put in force: {failure}"));
    }
    if args.once {
        return look(&mut copying, &told, args.output, true).await;
    }
    tokio::spawn({
        let told = Arc::clone(&told);
        async move { told.tell_again_and_again().await }
    });
    let mut failed = 0;
    loop {
        let looked = look(&mut copying, &told, args.output, false).await;
        let is_away = |failure: &Failure| failure.exit() == Exit::Unreachable;
        failed = if looked.as_ref().is_err_and(is_away) { failed + 1 } else { 0 };
        if let Err(failure) = looked {
            complain(&format!("imagedepot: {failure}"));
        }
        tokio::time::sleep(pause(args.look_every, failed)).await;
    }
}

/// Looks once, and tells of it whoever wants to know.
async fn look(
    copying: &mut Copying,
    told: &Told,
    output: Output,
    always: bool,
) -> Result<(), Failure> {
    let started = Instant::now();
    match copying.look(told).await {
        Ok(outcome) => {
            let news = told.change(|state| state.error = None) || outcome.changed;
            if news || always {
                told.tell().await;
                say(copying, told, &outcome, started.elapsed(), output)?;
            }
            Ok(())
        }
        // It goes on in the next hours, and looks until then for what was revoked.
        Err(failure) if is_outside_hours(&failure) && !always => {
            if told.change(|state| state.error = None) {
                told.tell().await;
            }
            Ok(())
        }
        Err(failure) => {
            let failure = with_what_holds(copying, failure).await;
            if told.change(|state| state.error = Some(failure.to_string())) {
                told.tell().await;
            }
            Err(failure)
        }
    }
}

/// Adds what remains true while the tree cannot be read.
async fn with_what_holds(copying: &Copying, failure: Failure) -> Failure {
    match copying.believed_until().await {
        Some(until) => {
            failure.with_hint(&format!("the copy stays as it is, and is believed until {until}"))
        }
        None => failure,
    }
}

fn say(
    copying: &Copying,
    told: &Told,
    outcome: &Outcome,
    time: Duration,
    output: Output,
) -> Result<(), Failure> {
    let (state, folder) = (told.state(), copying.served.root());
    let Outcome { changed, fetched, removed } = outcome;
    let channels: Vec<_> = state
        .channels
        .iter()
        .map(|(channel, sequence)| json!({"channel": channel, "sequence": sequence}))
        .collect();
    let document = json!({
        "path": folder, "channels": channels, "changed": changed,
        "bytes_total": state.bytes, "bytes_fetched": fetched.fetched, "bytes_reused": fetched.reused,
        "files_removed": removed, "seconds": time.as_secs_f64(),
    });
    let sentence = format!(
        "{} is up to date ({} fetched, {} already there, {removed} files removed, {:.1} s)",
        folder.display(),
        indicatif::BinaryBytes(fetched.fetched),
        indicatif::BinaryBytes(fetched.reused),
        time.as_secs_f64(),
    );
    output.result(&sentence, &document)
}

/// Returns the address of the tree: the one that is named, or the server's.
fn tree_address(args: &Args) -> Result<String, Failure> {
    if let Some(tree) = &args.tree {
        return Ok(tree.clone());
    }
    let server = args.server.address(&|name| std::env::var_os(name))?;
    let tree = server.join(TREE).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(tree.into())
}
