//! The commands of the server's side: the server itself, and commands that work directly on the catalog. The client's
//! build does not contain them.
//!
//! Each subcommand has a file of its own; `data` opens the catalog for several of them. Those on accounts work over
//! HTTP, too: `place` decides, and `client::daily` does it.

mod absent;
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
mod place;
mod refusal;
mod relocate;
mod restore;
mod scrub;
mod serve;
mod token;
mod trust;
mod user;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use crate::client::EXIT_CODES;
use crate::client::output::Output;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = EXIT_CODES)]
    Serve(serve::ServeArgs),
    /// Run a demo server in a new folder, and take a sample image through its whole life
    #[command(after_help = EXIT_CODES)]
    Demo(demo::DemoArgs),
    /// Manage users, over HTTP or directly in the catalog
    #[command(after_help = EXIT_CODES)]
    User(user::UserArgs),
    /// List, verify, export or prune the record of changes
    #[command(after_help = EXIT_CODES)]
    Audit(audit::AuditArgs),
    /// Manage API tokens and the key that signs them, over HTTP or directly in the catalog
    #[command(after_help = EXIT_CODES)]
    Token(token::TokenArgs),
    /// Show, export and rotate the keys that sign the tree's metadata, also those that are kept elsewhere
    #[command(after_help = EXIT_CODES)]
    Trust(trust::TrustArgs),
    /// Manage the mapping of client certificates to users, over HTTP or directly in the catalog
    #[command(after_help = EXIT_CODES)]
    CertificateMapping(certificate_mapping::CertificateMappingArgs),
    /// Check the settings, and report all mistakes with their places
    #[command(after_help = EXIT_CODES)]
    CheckConfig(check_config::CheckConfigArgs),
    /// Remove revisions beyond `keep_revisions`, and stored bytes that nothing refers to
    #[command(after_help = EXIT_CODES)]
    Gc(gc::GcArgs),
    /// Read stored bytes again, and report damaged files
    #[command(after_help = EXIT_CODES)]
    Scrub(scrub::ScrubArgs),
    /// Copy the catalog and all stored bytes to a folder or a bucket, while servers run
    #[command(after_help = EXIT_CODES)]
    Backup(backup::BackupArgs),
    /// Fill an empty catalog and an empty store from a backup
    #[command(after_help = EXIT_CODES)]
    Restore(restore::RestoreArgs),
    /// Copy chosen revisions to a folder or a bucket, with their notes and history
    #[command(after_help = EXIT_CODES)]
    Export(export::ExportArgs),
    /// Import revisions from an export, or from a folder of images that another system kept
    #[command(after_help = EXIT_CODES)]
    Import(import::ImportArgs),
    /// Move everything to another database, another store, or both, while downloads continue
    #[command(after_help = EXIT_CODES)]
    Move(relocate::MoveArgs),
    /// Rebuild a lost catalog
    #[command(after_help = EXIT_CODES)]
    Catalog(catalog::CatalogArgs),
    /// Bring the catalog's schema up to this version
    #[command(after_help = EXIT_CODES)]
    Migrate(migrate::MigrateArgs),
    /// Print the OpenAPI document
    #[command(after_help = EXIT_CODES)]
    Openapi,
}

impl Command {
    /// Runs the subcommand with the settings from `config`, and returns its exit code.
    pub async fn run(self, config: Option<&Path>) -> ExitCode {
        let output = self.output();
        self.dispatch(config).await.unwrap_or_else(|error| refusal::end(&error, output))
    }

    async fn dispatch(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        match self {
            Self::Audit(args) => return audit::run(args, config).await,
            Self::Scrub(args) => return scrub::run(args, config).await,
            // It contains the whole server.
            Self::Serve(args) => Box::pin(serve::run(args, config)).await?,
            Self::Demo(args) => demo::run(args).await?,
            Self::User(args) => user::run(args, config).await?,
            Self::Token(args) => token::run(args, config).await?,
            Self::Trust(args) => trust::run(args, config).await?,
            Self::CertificateMapping(args) => certificate_mapping::run(args, config).await?,
            Self::CheckConfig(args) => check_config::run(&args, config)?,
            Self::Catalog(args) => catalog::run(args, config).await?,
            Self::Export(args) => export::run(args, config).await?,
            Self::Import(args) => import::run(args, config).await?,
            Self::Move(args) => relocate::run(args, config).await?,
            Self::Backup(args) => backup::run(args, config).await?,
            Self::Restore(args) => restore::run(args, config).await?,
            Self::Gc(args) => gc::run(args, config).await?,
            Self::Migrate(args) => migrate::run(&args, config).await?,
            Self::Openapi => openapi::run()?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the form in which the result or the failure is reported.
    fn output(&self) -> Output {
        match self {
            Self::Audit(args) => args.place.output,
            Self::Scrub(args) => args.data.output,
            Self::User(args) => args.place.output,
            Self::Token(args) => args.place.output,
            Self::Trust(args) => args.data.output,
            Self::CertificateMapping(args) => args.place.output,
            Self::CheckConfig(args) => args.output,
            Self::Catalog(args) => args.data.output,
            Self::Export(args) => args.data.output,
            Self::Import(args) => args.data.output,
            Self::Move(args) => args.data.output,
            Self::Backup(args) => args.data.output,
            Self::Restore(args) => args.data.output,
            Self::Gc(args) => args.data.output,
            Self::Migrate(args) => args.data.output,
            // Serve and demo speak to people; openapi prints one document.
            Self::Serve(_) | Self::Demo(_) | Self::Openapi => Output::Text,
        }
    }
}
