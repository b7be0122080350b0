//! The command-line arguments of a push.

use std::path::PathBuf;

use super::super::credentials::ServerArgs;
use super::super::exit_code::EXIT_CODES;
use super::super::output::Output;
use super::files::Kind;

const LONG_ABOUT: &str = "\
Upload files as a new revision of an image, seal it, and promote it if requested

If a push ends early (a lost connection, Ctrl-C, a restart of this computer), the same command \
continues it, as long as the files are unchanged. Until the revision is sealed, a small file under \
~/.local/state/imagedepot/push records the progress; it contains no secrets. XDG_STATE_HOME moves it \
as usual, and IMAGEDEPOT_STATE_DIR sets another folder instead of ~/.local/state/imagedepot.";

/// Upload files as a new revision of an image, seal it, and promote it if requested
#[derive(Debug, Clone, clap::Args)]
#[command(long_about = LONG_ABOUT, after_help = EXIT_CODES)]
pub struct Args {
    /// Name of the image; created if it does not exist
    #[arg(value_name = "NAME")]
    pub image: String,

    /// The image's file; or both files of a MED-V image: .ckm and .ckm.index (or .index)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Kind of a new image; guessed from the files' names when not given
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,

    /// Promote the new revision to this channel
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,

    /// Notes on what is new in this revision
    #[arg(long, value_name = "TEXT")]
    pub notes: Option<String>,

    /// Make a new revision even if the newest one has the same files, or a revoked one had them
    #[arg(long)]
    pub always: bool,

    /// Start again instead of continuing what an earlier push of the same files left unfinished, which is deleted from
    /// the server
    #[arg(long)]
    pub restart: bool,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}
