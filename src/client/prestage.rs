//! `imagedepot prestage`: lays out the first image of client computers in a local folder.
//!
//! [`crate::prestage`] defines the contents of such a kit; this module writes them to a disk. Files are fetched as in
//! `pull`, and get their names once they are verified. Files that are there and intact are left alone, so the next run
//! completes one that was interrupted. `SHA256SUMS` is removed first and written last, so a folder that has it is
//! complete.
//!
//! [`verify`](super::verify) checks a kit that was copied elsewhere. The scripts in the kit set up the client computer.

mod kit_folder;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::connection::Connection;
use super::credentials::ServerArgs;
use super::error::Failure;
use super::exit_code::{EXIT_CODES, Exit};
use super::folder::folder;
use super::output::Output;
use super::progress::Progress;
use super::pull::download::{self, ExistingFiles, Fetched};
use super::pull::fetch_plan::{FetchPlan, PlannedFile};
use super::pull::revision_choice::RevisionChoice;
use crate::prestage::location::Location;
use crate::prestage::rights::UsersMay;
use crate::prestage::{Content, IMAGES, Kit, KitFile, PRESTAGED, sums};
use kit_folder::KitFolder;

/// Lay out the first image of client computers, with the scripts that set it up there
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    pub choice: RevisionChoice,

    /// Folder for the kit, created if missing. The next run completes one that was interrupted
    #[arg(long, value_name = "DIR", value_parser = folder())]
    pub to: PathBuf,

    /// Folder of the client computers that will contain `MED-V Images`
    #[arg(long, value_name = "PATH", default_value = "C:\\")]
    pub location: Location,

    /// Let users append in `PrestagedImages` too, as in the later of MED-V's two documents
    #[arg(long)]
    pub users_may_append: bool,

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
    let connection = Connection::open(&args.server)?;
    let started = Instant::now();
    let plan = args.choice.plan(&connection).await?;
    let kit = kit_of(&plan, &args)?;
    let progress = Progress::for_output(args.output);
    let fetched = lay_out(&connection, &plan, &kit, &args.to, &progress).await?;
    let seconds = started.elapsed().as_secs_f64();
    args.output.result(
        &sentence(&plan, &args, fetched, seconds),
        &document(&plan, &kit, &args, fetched, seconds),
    )
}

fn kit_of(plan: &FetchPlan, args: &Args) -> Result<Kit, Failure> {
    if !plan.is_ready {
        let (image, revision) = (&plan.image, plan.revision);
        let message =
            format!("{image} revision {revision} is revoked or damaged; choose another revision");
        return Err(Failure::new(Exit::Conflict, message));
    }
    let file = |file: &PlannedFile| KitFile::new(&file.name, file.size, file.digest);
    let files: Result<Vec<_>, _> = plan.files.iter().map(file).collect();
    let (location, users_may) = (args.location.clone(), UsersMay::appending(args.users_may_append));
    files
        .and_then(|files| Kit::new(&plan.image, plan.revision, files, location, users_may))
        .map_err(|unfit| Failure::usage(unfit.to_string()))
}

async fn lay_out(
    connection: &Connection,
    plan: &FetchPlan,
    kit: &Kit,
    to: &Path,
    progress: &Progress,
) -> Result<Fetched, Failure> {
    let folder = KitFolder::begin(to, kit)?;
    let (mut sum, mut marked) = (Fetched::default(), true);
    for content in kit.contents() {
        let path = content.path();
        match content {
            Content::Folder(_) => folder.make(&path)?,
            Content::Document { bytes, .. } => {
                if path == sums::NAME {
                    folder.tidy_up(kit)?;
                }
                folder.write(&path, &bytes)?;
            }
            Content::File(file) => {
                let fetched = fetch(connection, plan, file, to, progress).await?;
                sum.fetched += fetched.fetched;
                sum.reused += fetched.reused;
                marked &= folder.mark_read_only(&path)?;
            }
        }
    }
    if !marked {
        progress.note("the file system does not keep read-only marks: verify will report the files as writable");
    }
    Ok(sum)
}

/// Fetches a file and gives it its name. The kit was made from the files of the plan.
async fn fetch(
    connection: &Connection,
    plan: &FetchPlan,
    file: &KitFile,
    to: &Path,
    progress: &Progress,
) -> Result<Fetched, Failure> {
    let folder = to.join(IMAGES).join(PRESTAGED);
    let bar = progress.file(file.name(), file.size());
    let mut sum = Fetched::default();
    for source in plan.files.iter().filter(|source| source.name == file.name()) {
        sum = download::fetch(connection, source, &folder, ExistingFiles::Reread, &bar)
            .await
            .map_err(|failure| failure.while_doing(file.name()))?;
    }
    bar.finish_and_clear();
    Ok(sum)
}

fn sentence(plan: &FetchPlan, args: &Args, sum: Fetched, seconds: f64) -> String {
    format!(
        "{} revision {} is in {}, verified, for {} on client computers ({} fetched, {} already there, \
         {seconds:.1} s). Its README.txt describes the next steps.",
        plan.image,
        plan.revision,
        args.to.display(),
        args.location.prestaged(),
        indicatif::BinaryBytes(sum.fetched),
        indicatif::BinaryBytes(sum.reused),
    )
}

fn document(
    plan: &FetchPlan,
    kit: &Kit,
    args: &Args,
    sum: Fetched,
    seconds: f64,
) -> serde_json::Value {
    json!({
        "image": plan.image,
        "revision": plan.revision,
        "path": args.to,
        "location": args.location.prestaged(),
        "bytes_total": plan.size(),
        "bytes_fetched": sum.fetched,
        "bytes_reused": sum.reused,
        "seconds": seconds,
        "files": kit.files().iter().map(|file| json!({
            "path": args.to.join(file.path()),
            "size": file.size(),
            "digest": file.digest().to_string(),
        })).collect::<Vec<_>>(),
    })
}
