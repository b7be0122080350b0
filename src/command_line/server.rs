//! The commands of the server's side: on the catalog itself, and the server. Left out of the client's build.
//!
//! One subcommand a file; `data` is what several of them need to open the catalog.

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

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::failure::fail;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::ServeArgs),
    /// Run a server in a fresh folder, with a sample image taken through its whole life
    Demo(demo::DemoArgs),
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
    Migrate(migrate::MigrateArgs),
    /// Print the `OpenAPI` document
    Openapi,
}

impl Command {
    /// Runs the subcommand to its end, with the settings from `config`.
    pub async fn run(self, config: Option<&Path>) -> ExitCode {
        let done = match self {
            Self::Serve(args) => serve::run(args, config).await,
            Self::Demo(args) => Box::pin(demo::run(args)).await,
            Self::Audit(args) => {
                return audit::run(args, config).await.unwrap_or_else(|error| fail(&error));
            }
            Self::Scrub(args) => {
                let done = Box::pin(scrub::run(args, config)).await;
                return done.unwrap_or_else(|error| fail(&error));
            }
            Self::User(args) => user::run(args, config).await,
            Self::Token(args) => token::run(args, config).await,
            Self::CertificateMapping(args) => certificate_mapping::run(args, config).await,
            Self::CheckConfig(args) => check_config::run(&args, config),
            Self::Catalog(args) => Box::pin(catalog::run(args, config)).await,
            Self::Export(args) => Box::pin(export::run(args, config)).await,
            Self::Import(args) => Box::pin(import::run(args, config)).await,
            Self::Move(args) => Box::pin(relocate::run(args, config)).await,
            Self::Backup(args) => Box::pin(backup::run(args, config)).await,
            Self::Restore(args) => Box::pin(restore::run(args, config)).await,
            Self::Gc(args) => Box::pin(gc::run(args, config)).await,
            Self::Migrate(args) => migrate::run(&args, config).await,
            Self::Openapi => openapi::run(),
        };
        done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
    }
}
