//! The command line: its arguments, and how a command ends.
//!
//! The commands that work over HTTP are in `client`; `completion` and `manual` describe the command line itself. Those of the server's side are in `server`, each in a file of its
//! own. The client's build contains only the former.

mod completion;
mod failure;
mod manual;
#[cfg(feature = "server")]
mod server;
mod version;

#[cfg(feature = "server")]
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::failure::fail;
use crate::client;
use crate::client::output::complain;

/// Repository from which an organisation's machines get their virtual-machine images
#[derive(Debug, Parser)]
#[command(name = "imagedepot", version = version::VERSION.as_str(), about, after_help = client::EXIT_CODES)]
pub struct CommandLine {
    /// Settings file (TOML) [default: none]; `check-config --example` prints all settings with their defaults
    #[cfg(feature = "server")]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload an image's files as a new revision, seal it, and promote it if a channel is given
    Push(client::push::Args),
    /// Download an image and verify it; resumes an interrupted download
    Pull(client::pull::Args),
    /// Keep images up to date on this machine: check, fetch, change and report
    Agent(client::agent::Args),
    /// Keep a copy of channels at another site, for any web server to serve
    Mirror(client::mirror::Args),
    /// Lay out the first image of client computers, with the scripts that set it up there
    Prestage(client::prestage::Args),
    /// Check a pre-staging kit for missing, changed, writable or added files
    Verify(client::verify::Args),
    /// Load a running server with the update checks of a fleet, and measure its answers
    Simulate(client::simulate::Args),
    /// Make and apply deltas of files on a disk, and make their chunk lists
    Delta(client::delta::Args),
    #[command(flatten)]
    Daily(client::daily::Command),
    /// Print the completion script of a shell
    Completion(completion::Args),
    /// Write the manual pages to a folder
    #[command(after_help = client::EXIT_CODES)]
    Man(manual::Args),
    /// Make keys that are kept away from the server, and sign with them what is carried there
    #[cfg(not(feature = "server"))]
    #[command(after_help = client::EXIT_CODES)]
    Trust(client::offline::Args),
    #[cfg(feature = "server")]
    #[command(flatten)]
    Server(server::Command),
}

/// The time that leftover work may take after the command has ended.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

impl CommandLine {
    /// Runs the subcommand and returns its exit code.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error.into()),
        };
        let code = runtime.block_on(self.dispatch());
        // Work that waits for a disk that does not answer must not delay the end.
        runtime.shutdown_timeout(LEFT_BEHIND);
        code
    }

    async fn dispatch(self) -> ExitCode {
        let done = match self.command {
            Command::Push(args) => client::push::run(args).await,
            Command::Pull(args) => client::pull::run(args).await,
            Command::Agent(args) => Box::pin(client::agent::run(args)).await,
            Command::Mirror(args) => Box::pin(client::mirror::run(args)).await,
            Command::Prestage(args) => client::prestage::run(args).await,
            Command::Verify(args) => client::verify::run(args).await,
            Command::Simulate(args) => client::simulate::run(args).await,
            Command::Delta(args) => client::delta::run(args).await,
            Command::Daily(command) => Box::pin(command.run()).await,
            Command::Completion(args) => completion::run(&args, Self::command()),
            Command::Man(args) => manual::run(&args, Self::command()),
            #[cfg(not(feature = "server"))]
            Command::Trust(args) => client::offline::run(args),
            #[cfg(feature = "server")]
            Command::Server(command) => {
                return Box::pin(command.run(self.config.as_deref())).await;
            }
        };
        done.map_or_else(
            |failure| {
                complain(&format!("imagedepot: {failure}"));
                ExitCode::from(failure.exit())
            },
            |()| ExitCode::SUCCESS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[cfg(feature = "server")]
    #[test]
    fn the_documents_name_every_command() {
        let documents = [
            include_str!("../README.md"),
            include_str!("../docs/access.md"),
            include_str!("../docs/operations.md"),
        ];
        for command in CommandLine::command().get_subcommands() {
            let forms = [
                format!("imagedepot {}", command.get_name()),
                format!("-- {}", command.get_name()),
            ];
            let is_named = |text: &&str| forms.iter().any(|form| text.contains(form));
            assert!(documents.iter().any(is_named), "no document has {}", forms[0]);
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn the_settings_file_may_be_named_before_or_after_the_subcommand() {
        for words in [["--config", "f", "serve"], ["serve", "--config", "f"]] {
            let line = CommandLine::try_parse_from(["imagedepot"].iter().chain(&words)).unwrap();
            assert_eq!(line.config, Some("f".into()));
        }
    }
}
