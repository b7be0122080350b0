//! The commands of the server's side: on the catalog itself, and the server. Left out of the client's build.
//!
//! One subcommand a file; `data` is what several of them need to open the catalog.

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
mod refusal;
mod relocate;
mod restore;
mod scrub;
mod secret_file;
mod serve;
mod token;
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
    /// Run a server in a fresh folder, with a sample image taken through its whole life
    #[command(after_help = EXIT_CODES)]
    Demo(demo::DemoArgs),
    /// Manage users, on the catalog itself
    #[command(after_help = EXIT_CODES)]
    User(user::UserArgs),
    /// Check and export the record of changes
    #[command(after_help = EXIT_CODES)]
    Audit(audit::AuditArgs),
    /// Manage API tokens and the key that signs them, on the catalog itself
    #[command(after_help = EXIT_CODES)]
    Token(token::TokenArgs),
    /// Manage which user client certificates stand for, on the catalog itself
    #[command(after_help = EXIT_CODES)]
    CertificateMapping(certificate_mapping::CertificateMappingArgs),
    /// Say what is wrong with the settings, and where
    #[command(after_help = EXIT_CODES)]
    CheckConfig(check_config::CheckConfigArgs),
    /// Take away revisions past `keep_revisions`, and bytes that nothing refers to
    #[command(after_help = EXIT_CODES)]
    Gc(gc::GcArgs),
    /// Read stored bytes again and say what is damaged
    #[command(after_help = EXIT_CODES)]
    Scrub(scrub::ScrubArgs),
    /// Copy the catalog and all bytes to a folder or a bucket, while servers run
    #[command(after_help = EXIT_CODES)]
    Backup(backup::BackupArgs),
    /// Fill an empty catalog and an empty store from a backup
    #[command(after_help = EXIT_CODES)]
    Restore(restore::RestoreArgs),
    /// Carry chosen revisions to a folder or a bucket, with notes and history
    #[command(after_help = EXIT_CODES)]
    Export(export::ExportArgs),
    /// Take revisions in: from an export, or from a folder that somebody else kept
    #[command(after_help = EXIT_CODES)]
    Import(import::ImportArgs),
    /// Move everything to another database, another store, or both, with downloads going on
    #[command(after_help = EXIT_CODES)]
    Move(relocate::MoveArgs),
    /// Recover a catalog that is lost
    #[command(after_help = EXIT_CODES)]
    Catalog(catalog::CatalogArgs),
    /// Bring the catalog's schema up to this version
    #[command(after_help = EXIT_CODES)]
    Migrate(migrate::MigrateArgs),
    /// Print the `OpenAPI` document
    #[command(after_help = EXIT_CODES)]
    Openapi,
}

impl Command {
    /// Runs the subcommand to its end, with the settings from `config`.
    pub async fn run(self, config: Option<&Path>) -> ExitCode {
        let output = self.output();
        self.dispatch(config).await.unwrap_or_else(|error| refusal::end(&error, output))
    }

    async fn dispatch(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        match self {
            Self::Audit(args) => return audit::run(args, config).await,
            Self::Scrub(args) => return Box::pin(scrub::run(args, config)).await,
            Self::Serve(args) => serve::run(args, config).await?,
            Self::Demo(args) => Box::pin(demo::run(args)).await?,
            Self::User(args) => user::run(args, config).await?,
            Self::Token(args) => token::run(args, config).await?,
            Self::CertificateMapping(args) => certificate_mapping::run(args, config).await?,
            Self::CheckConfig(args) => check_config::run(&args, config)?,
            Self::Catalog(args) => Box::pin(catalog::run(args, config)).await?,
            Self::Export(args) => Box::pin(export::run(args, config)).await?,
            Self::Import(args) => Box::pin(import::run(args, config)).await?,
            Self::Move(args) => Box::pin(relocate::run(args, config)).await?,
            Self::Backup(args) => Box::pin(backup::run(args, config)).await?,
            Self::Restore(args) => Box::pin(restore::run(args, config)).await?,
            Self::Gc(args) => Box::pin(gc::run(args, config)).await?,
            Self::Migrate(args) => migrate::run(&args, config).await?,
            Self::Openapi => openapi::run()?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// In which form its result and its failure are told.
    fn output(&self) -> Output {
        match self {
            Self::Audit(args) => args.data.output,
            Self::Scrub(args) => args.data.output,
            Self::User(args) => args.data.output,
            Self::Token(args) => args.data.output,
            Self::CertificateMapping(args) => args.data.output,
            Self::CheckConfig(args) => args.output,
            Self::Catalog(args) => args.data.output,
            Self::Export(args) => args.data.output,
            Self::Import(args) => args.data.output,
            Self::Move(args) => args.data.output,
            Self::Backup(args) => args.data.output,
            Self::Restore(args) => args.data.output,
            Self::Gc(args) => args.data.output,
            Self::Migrate(args) => args.data.output,
            // They speak to people, and print one document.
            Self::Serve(_) | Self::Demo(_) | Self::Openapi => Output::Text,
        }
    }
}
