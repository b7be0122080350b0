//! `imagedepot pull`: downloads what a channel offers, or a revision by number, to verified local files.
//!
//! `fetch_plan` asks the server what to fetch, `download` fetches one file over as many connections as it takes, and
//! `partial` is that file while it is incomplete. The index comes last, as in the tree: if an index is there, its image
//! is too. A file with its final name is complete and verified.
//!
//! Between two pulls, unfinished files are kept, and each complete file has a note that it was `verified`. Watching a
//! channel and swapping revisions is left to the agent; fetching only what changed is left to delta transfers.

pub(super) mod download;
pub(super) mod fetch_plan;
mod partial;
mod verified;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use self::download::{ExistingFiles, Fetched};
use self::fetch_plan::{FetchPlan, RevisionChoice};
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
    let what_is_there = if args.check { ExistingFiles::Reread } else { ExistingFiles::TrustNote };
    let fetched = pull(&connection, &plan, &args.to, what_is_there, &progress).await?;
    let seconds = started.elapsed().as_secs_f64();
    args.output.result(
        &sentence(&plan, &args.to, fetched, seconds),
        &document(&plan, &args.to, fetched, seconds),
    )
}

/// Determines what to fetch: from a signed tree if one is named, otherwise from the server.
async fn plan(args: &Args) -> Result<(Connection, FetchPlan), Failure> {
    let (Some(address), Some(root)) = (&args.signed.tree, &args.signed.trust) else {
        let connection = Connection::open(&args.server)?;
        let plan = args.choice.plan(&connection).await?;
        return Ok((connection, plan));
    };
    let mut tree = SignedTree::open(&args.server, address, root).await?;
    let offer = offer(&mut tree, &args.choice.channel, &args.choice.image).await?;
    let plan = FetchPlan::of_tree(&tree, offer)?;
    Ok((tree.connection, plan))
}

/// Fetches all files of the plan one after the other, the index last.
async fn pull(
    connection: &Connection,
    plan: &FetchPlan,
    folder: &Path,
    what_is_there: ExistingFiles,
    progress: &Progress,
) -> Result<Fetched, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::local("create", folder, &error))?;
    let mut sum = Fetched::default();
    for file in &plan.files {
        let bar = progress.file(&file.name, file.size);
        let fetched = download::fetch(connection, file, folder, what_is_there, &bar)
            .await
            .map_err(|failure| failure.while_doing(&file.name))?;
        sum.fetched += fetched.fetched;
        sum.reused += fetched.reused;
        bar.finish_and_clear();
    }
    Ok(sum)
}

/// Returns the result for scripts: `path` is the image itself, and `files` lists it and the files that belong to it.
fn document(plan: &FetchPlan, folder: &Path, sum: Fetched, seconds: f64) -> serde_json::Value {
    json!({
        "image": plan.image,
        "revision": plan.revision,
        "path": folder.join(&plan.main_file().name),
        "bytes_total": plan.size(),
        "bytes_fetched": sum.fetched,
        "bytes_reused": sum.reused,
        "seconds": seconds,
        "files": plan.files.iter().map(|file| json!({
            "role": file.role,
            "path": folder.join(&file.name),
            "size": file.size,
            "digest": file.digest.to_string(),
        })).collect::<Vec<_>>(),
    })
}

fn sentence(plan: &FetchPlan, folder: &Path, sum: Fetched, seconds: f64) -> String {
    format!(
        "{} revision {} is in {}, verified ({} fetched, {} already there, {seconds:.1} s)",
        plan.image,
        plan.revision,
        folder.display(),
        indicatif::BinaryBytes(sum.fetched),
        indicatif::BinaryBytes(sum.reused),
    )
}

#[cfg(test)]
mod tests;
