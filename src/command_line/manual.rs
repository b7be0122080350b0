//! `imagedepot man`: the manual pages of this program, one for each command and each of its verbs.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::client::Failure;
use crate::client::folder::folder;
use crate::client::output::Output;

const LONG_ABOUT: &str = "\
Write the manual pages to a folder

To install them: imagedepot man /usr/local/share/man/man1
To read one without installing: imagedepot man pages; man -l pages/imagedepot-push.1";

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub struct Args {
    /// Folder for the pages, created if missing
    #[arg(value_name = "DIR", value_parser = folder())]
    to: PathBuf,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Writes the pages of these commands.
pub fn run(args: &Args, commands: clap::Command) -> Result<(), Failure> {
    args.output.unless_failed(write(args, commands))
}

fn write(args: &Args, commands: clap::Command) -> Result<(), Failure> {
    fs::create_dir_all(&args.to).map_err(|error| Failure::local("create", &args.to, &error))?;
    let pages = pages_of(&commands);
    clap_mangen::generate_to(commands, &args.to)
        .map_err(|error| Failure::local("write to", &args.to, &error))?;
    let sentence = format!("{pages} pages are in {}", args.to.display());
    args.output.result(&sentence, &json!({"path": args.to, "pages": pages}))
}

/// Returns the number of commands, this one included, that have a page.
fn pages_of(command: &clap::Command) -> usize {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    1 + verbs.map(pages_of).sum::<usize>()
}
