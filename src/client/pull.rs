//! `imagedepot pull`: downloads what a channel offers, or a revision by number, to verified local files.
//!
//! `update_check` asks the server what to fetch, `fetch_plan` is its answer, and `cheapest` chooses for each file the way that takes the fewest bytes:
//! a delta from an older file (`by_delta`), the chunks that no older file has (`by_chunks`, `assembly`), or the whole
//! (`download`, over as many connections as it takes). `seeds` finds the older files, and `partial` is a file while it is
//! incomplete. The index comes last, as in the tree: if an index is there, its image is too. A file with its final name
//! is complete and verified.
//!
//! Between two pulls, unfinished files are kept, and each complete file has a note that it was `verified`. Watching a
//! channel and swapping revisions is left to the agent.

mod assembly;
mod attempt;
mod by_chunks;
pub(super) mod by_delta;
pub(super) mod cheapest;
pub(super) mod download;
pub(super) mod fetch_plan;
mod partial;
pub(super) mod revision_choice;
mod seeds;
pub(super) mod update_check;
mod verified;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use self::cheapest::{Place, Via};
use self::download::{ExistingFiles, Fetched};
use self::fetch_plan::FetchPlan;
use self::revision_choice::RevisionChoice;
use self::seeds::newest_other_revision;
use super::connection::Connection;
use super::credentials::ServerArgs;
use super::error::Failure;
use super::exit_code::EXIT_CODES;
use super::folder::folder;
use super::output::Output;
use super::progress::Progress;
use super::trust::channel::offer;
use super::trust::tree::{SignedTree, TreeArgs};

/// Download what a channel offers of an image, or a revision by its number, and verify it
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    pub choice: RevisionChoice,

    #[command(flatten)]
    pub signed: TreeArgs,

    /// Folder for the files, created if missing. Unfinished files stay in it as NAME.partial and are continued by the
    /// next pull
    #[arg(long, value_name = "DIR", value_parser = folder())]
    pub to: PathBuf,

    /// A file that may have bytes of the one to fetch, such as an older revision elsewhere. Other revisions in the folder
    /// are used without it
    #[arg(long = "seed", value_name = "FILE")]
    pub seeds: Vec<PathBuf>,

    /// Read every byte of existing files again, instead of relying on the size and date they had when they were
    /// verified
    #[arg(long)]
    pub check: bool,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    output.unless_failed(run_to_end(args).await)
}

async fn run_to_end(args: Args) -> Result<(), Failure> {
    let started = Instant::now();
    let (connection, plan) = plan(&args).await?;
    let progress = Progress::for_output(args.output);
    let place = Place {
        folder: &args.to,
        revision: plan.revision,
        other_folders: &[],
        named_seeds: &args.seeds,
        existing: if args.check { ExistingFiles::Reread } else { ExistingFiles::TrustNote },
    };
    let pulled = pull(&connection, &plan, place, &progress).await?;
    let seconds = started.elapsed().as_secs_f64();
    args.output.result(
        &sentence(&plan, &args.to, &pulled, seconds),
        &document(&plan, &args.to, &pulled, seconds),
    )
}

/// Determines what to fetch: from a signed tree if one is named, otherwise from the server.
async fn plan(args: &Args) -> Result<(Connection, FetchPlan), Failure> {
    let (Some(address), Some(root)) = (&args.signed.tree, &args.signed.trust) else {
        let connection = Connection::open(&args.server)?;
        let mut plan = args.choice.plan(&connection).await?;
        let file = plan.main_file();
        let current = newest_other_revision(&args.to, &file.name, plan.revision);
        if let Some(current) = current.filter(|_| file.chunks.is_some()) {
            args.choice.add_deltas(&connection, &mut plan, current).await;
        }
        return Ok((connection, plan));
    };
    let mut tree = SignedTree::open(&args.server, address, root).await?;
    let offer = offer(&mut tree, &args.choice.channel, &args.choice.image).await?;
    let plan = FetchPlan::of_tree(&tree, offer)?;
    Ok((tree.connection().clone(), plan))
}

/// Fetches all files of the plan one after the other, the index last.
pub(super) async fn pull(
    connection: &Connection,
    plan: &FetchPlan,
    place: Place<'_>,
    progress: &Progress,
) -> Result<Pulled, Failure> {
    let folder = place.folder;
    std::fs::create_dir_all(folder).map_err(|error| Failure::local("create", folder, &error))?;
    let mut pulled = Pulled { sum: Fetched::default(), ways: Vec::new() };
    for file in &plan.files {
        let (fetched, via) = cheapest::fetch(connection, file, place, progress)
            .await
            .map_err(|failure| failure.while_doing(&file.name))?;
        pulled.sum.fetched += fetched.fetched;
        pulled.sum.reused += fetched.reused;
        pulled.ways.push(via);
    }
    Ok(pulled)
}

/// The sources of all files, and how each was fetched, in their order.
pub(super) struct Pulled {
    pub(super) sum: Fetched,
    ways: Vec<Via>,
}

/// Returns the result for scripts: `path` is the image itself, and `files` lists it and the files that belong to it.
fn document(plan: &FetchPlan, folder: &Path, pulled: &Pulled, seconds: f64) -> serde_json::Value {
    json!({
        "image": plan.image,
        "revision": plan.revision,
        "path": folder.join(&plan.main_file().name),
        "bytes_total": plan.size(),
        "bytes_fetched": pulled.sum.fetched,
        "bytes_reused": pulled.sum.reused,
        "seconds": seconds,
        "files": plan.files.iter().zip(&pulled.ways).map(|(file, via)| json!({
            "role": file.role,
            "via": via,
            "path": folder.join(&file.name),
            "size": file.size,
            "digest": file.digest.to_string(),
        })).collect::<Vec<_>>(),
    })
}

fn sentence(plan: &FetchPlan, folder: &Path, pulled: &Pulled, seconds: f64) -> String {
    format!(
        "{} revision {} is in {}, verified ({} fetched, {} already there, {seconds:.1} s)",
        plan.image,
        plan.revision,
        folder.display(),
        indicatif::BinaryBytes(pulled.sum.fetched),
        indicatif::BinaryBytes(pulled.sum.reused),
    )
}

#[cfg(test)]
mod tests;
