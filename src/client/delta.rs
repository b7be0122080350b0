//! `imagedepot delta`: makes and applies the deltas of files on a disk, and makes their chunk lists.
//!
//! The formats are those of the files that the server publishes, so an administrator can measure what a delta would
//! save, and apply one that came on a stick. All work is that of `crate::delta`. A result is written beside its final
//! name, with the ending `.part`, and renamed when it is complete; `apply` goes on with what it finds there.

mod work;

use std::path::PathBuf;

use serde_json::Value;

use self::work::{Job, Outcome};
use super::error::Failure;
use super::output::Output;
use super::progress::Progress;

/// The arguments of `delta`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make the delta that turns one file into another
    Make {
        /// The file that is there already
        old: PathBuf,
        /// The file that is wanted
        new: PathBuf,
        #[command(flatten)]
        to: To,
    },
    /// Make a file from an older one and a delta; resumes an interrupted attempt
    Apply {
        /// The file that the delta starts from
        old: PathBuf,
        /// The delta
        delta: PathBuf,
        #[command(flatten)]
        to: To,
    },
    /// Make the chunk list of a file
    Chunks {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct To {
    /// The file to write; one that exists is replaced
    out: PathBuf,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let (job, to) = match args.verb {
        Verb::Make { old, new, to } => (Job::Make { old, new }, to),
        Verb::Apply { old, delta, to } => (Job::Apply { old, delta }, to),
        Verb::Chunks { file, to } => (Job::Chunks { file }, to),
    };
    let progress = Progress::for_output(to.output);
    let out = to.out.clone();
    let working = tokio::task::spawn_blocking(move || job.run(&out, &progress)).await;
    let done = working.map_err(|error| Failure::lost_task(&error)).flatten();
    to.output.unless_failed(done.and_then(|outcome| tell(&to, outcome)))
}

fn tell(to: &To, Outcome { sentence, mut document }: Outcome) -> Result<(), Failure> {
    if let Some(fields) = document.as_object_mut() {
        fields.insert("path".to_owned(), Value::from(to.out.to_string_lossy()));
    }
    to.output.result(&sentence, &document)
}
