//! The command line: one subcommand a job, each in a file of its own.

mod audit;
mod backup;
mod catalog;
mod certificate_mapping;
mod check_config;
mod data;
mod demo;
mod export;
mod gc;
mod import;
#[cfg(feature = "negotiate")]
mod keytab;
mod migrate;
mod openapi;
mod relocate;
mod restore;
mod scrub;
mod serve;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::data::DataArgs;
use crate::client;

/// The repository from which an organisation's machines get their virtual-machine images.
#[derive(Debug, Parser)]
#[command(name = "imagedepot", version, about, after_help = client::EXIT_CODES)]
pub struct CommandLine {
    /// File of settings (TOML); see `check-config --example`
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Run a server in a fresh folder, with a sample image taken through its whole life
    Demo(demo::DemoArgs),
    /// Upload an image's files as a new revision, seal and promote it
    Push(client::push::Args),
    /// Download an image, verified; resumes what was begun
    Pull(client::pull::Args),
    /// Lay out the first image of client computers, with what sets it up there
    Prestage(client::prestage::Args),
    /// Check a pre-staging kit: nothing missing, changed, writable or added
    Verify(client::verify::Args),
    /// Manage users, on the catalog itself
    User(user::UserArgs),
    /// Check and export the record of changes
    Audit(audit::AuditArgs),
    /// Manage API tokens and the key that signs them, on the catalog itself
    Token(token::TokenArgs),
    /// Manage which user client certificates stand for, on the catalog itself
    CertificateMapping(certificate_mapping::CertificateMappingArgs),
    /// Say what is wrong with the settings, and where
    CheckConfig(check_config::CheckConfigArgs),
    /// Take away revisions past `keep_revisions`, and bytes that nothing refers to
    Gc(gc::GcArgs),
    /// Read stored bytes again and say what is damaged
    Scrub(scrub::ScrubArgs),
    /// Copy the catalog and all bytes to a folder or a bucket, while servers run
    Backup(backup::BackupArgs),
    /// Fill an empty catalog and an empty store from a backup
    Restore(restore::RestoreArgs),
    /// Carry chosen revisions to a folder or a bucket, with notes and history
    Export(export::ExportArgs),
    /// Take revisions in: from an export, or from a folder that somebody else kept
    Import(import::ImportArgs),
    /// Move everything to another database, another store, or both, with downloads going on
    Move(relocate::MoveArgs),
    /// Recover a catalog that is lost
    Catalog(catalog::CatalogArgs),
    /// Bring the catalog's schema up to this version
    Migrate(DataArgs),
    /// Print the `OpenAPI` document
    Openapi,
}

impl CommandLine {
    /// Runs the subcommand to its end.
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error.into()),
        };
        runtime.block_on(self.dispatch())
    }

    async fn dispatch(self) -> ExitCode {
        let config = self.config.as_deref();
        let done = match self.command {
            Command::Push(args) => return client_exit(client::push::run(args).await),
            Command::Pull(args) => return client_exit(client::pull::run(args).await),
            Command::Prestage(args) => return client_exit(client::prestage::run(args).await),
            Command::Verify(args) => return client_exit(client::verify::run(args).await),
            Command::Serve(args) => serve::run(args, config).await,
            Command::Demo(args) => Box::pin(demo::run(args)).await,
            Command::Audit(args) => {
                return audit::run(args, config).await.unwrap_or_else(|error| fail(&error));
            }
            Command::Scrub(args) => {
                let done = Box::pin(scrub::run(args, config)).await;
                return done.unwrap_or_else(|error| fail(&error));
            }
            Command::User(args) => user::run(args, config).await,
            Command::Token(args) => token::run(args, config).await,
            Command::CertificateMapping(args) => certificate_mapping::run(args, config).await,
            Command::CheckConfig(args) => check_config::run(&args, config),
            Command::Catalog(args) => Box::pin(catalog::run(args, config)).await,
            Command::Export(args) => Box::pin(export::run(args, config)).await,
            Command::Import(args) => Box::pin(import::run(args, config)).await,
            Command::Move(args) => Box::pin(relocate::run(args, config)).await,
            Command::Backup(args) => Box::pin(backup::run(args, config)).await,
            Command::Restore(args) => Box::pin(restore::run(args, config)).await,
            Command::Gc(args) => Box::pin(gc::run(args, config)).await,
            Command::Migrate(args) => migrate::run(&args, config).await,
            Command::Openapi => openapi::run(),
        };
        done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("imagedepot: {}", in_full(error));
    ExitCode::FAILURE
}

/// With the causes, but for those that a sentence before has said already.
fn in_full(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn client_exit(done: Result<(), client::Failure>) -> ExitCode {
    done.map_or_else(
        |failure| {
            eprintln!("imagedepot: {failure}");
            ExitCode::from(failure.exit())
        },
        |()| ExitCode::SUCCESS,
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("the disk is gone");
        let error = crate::storage::StorageError::File { what: "/x".to_owned(), source: cause };
        let error = anyhow::Error::from(error).context("the catalog");
        assert_eq!(in_full(&error), "the catalog: /x: the disk is gone");
    }

    #[test]
    fn the_settings_file_may_be_named_before_or_after_the_subcommand() {
        for words in [["--config", "f", "serve"], ["serve", "--config", "f"]] {
            let line = CommandLine::try_parse_from(["imagedepot"].iter().chain(&words)).unwrap();
            assert_eq!(line.config, Some("f".into()));
        }
    }
}
