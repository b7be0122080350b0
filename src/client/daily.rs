//! Daily work: the commands with which people run a depot from a terminal or a script, all over HTTP.
//!
//! One file for each noun of the API (`image`, `revision`, `channel`, `fleet` for clients, …), and `assignment`,
//! `rollout`, `check`, `history` and `status` for what is done with them. They share their arguments (`call`), the
//! pages of lists (`pages`), the fields of a change (`change`), and times (`moment`). Answers are JSON values and not
//! types: a newer server sends more fields, and records show them all.
//!
//! The commands of accounts (`user`, `token`, `certificate_mapping`, `audit`) also work on the catalog itself; the whole
//! program's `command_line` decides which. Transfers of bytes are left to `push` and `pull`.

mod approval;
mod assignment;
pub mod audit;
mod call;
pub mod certificate_mapping;
mod change;
mod channel;
mod check;
mod fleet;
mod history;
mod image;
mod labels;
pub mod moment;
mod pages;
mod pin;
mod query;
mod reach;
mod revision;
pub mod role;
mod rollout;
mod rollout_args;
mod rollout_details;
mod rollout_state;
mod status;
pub mod token;
mod upload;
pub mod user;

use clap::Subcommand;

use super::error::Failure;
use super::exit_code::EXIT_CODES;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, show, create, change and delete images
    #[command(after_help = EXIT_CODES)]
    Image(image::Args),
    /// List, show, revoke, protect, change and delete revisions
    #[command(after_help = EXIT_CODES)]
    Revision(revision::Args),
    /// List, show, create, change and delete channels
    #[command(after_help = EXIT_CODES)]
    Channel(channel::Args),
    /// Assign a revision to a channel
    #[command(after_help = EXIT_CODES)]
    Promote(assignment::PromoteArgs),
    /// Return to the assignment before the present one
    #[command(after_help = EXIT_CODES)]
    Rollback(assignment::RollbackArgs),
    /// Take an image out of a channel
    #[command(after_help = EXIT_CODES)]
    Withdraw(assignment::WithdrawArgs),
    /// Approve a promotion that waits for a second person
    #[command(after_help = EXIT_CODES)]
    Approve(approval::Args),
    /// Give clients a revision of their own in a channel
    #[command(after_help = EXIT_CODES)]
    Pin(pin::Args),
    /// Show, change, pause and resume the rollout of a promotion
    #[command(after_help = EXIT_CODES)]
    Rollout(rollout::Args),
    /// Show the answer to a client's update check, and the reason for it
    #[command(after_help = EXIT_CODES)]
    Check(check::Args),
    /// List, show and delete the clients on record
    #[command(after_help = EXIT_CODES)]
    Client(fleet::Args),
    /// List the promotions, rollbacks and withdrawals of an image, the newest first
    #[command(after_help = EXIT_CODES)]
    History(history::Args),
    /// List and cancel uploads in progress
    #[command(after_help = EXIT_CODES)]
    Upload(upload::Args),
    /// Show the state of the server
    #[command(after_help = EXIT_CODES)]
    Status(status::Args),
    /// Manage users
    #[cfg(not(feature = "server"))]
    #[command(after_help = EXIT_CODES)]
    User(user::Args),
    /// Manage API tokens
    #[cfg(not(feature = "server"))]
    #[command(after_help = EXIT_CODES)]
    Token(token::Args),
    /// Manage the mapping of client certificates to users
    #[cfg(not(feature = "server"))]
    #[command(after_help = EXIT_CODES)]
    CertificateMapping(certificate_mapping::Args),
    /// List, verify or export the record of changes
    #[cfg(not(feature = "server"))]
    #[command(after_help = EXIT_CODES)]
    Audit(audit::Args),
}

impl Command {
    /// Runs the command and prints the result on standard output.
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Image(args) => image::run(args).await,
            Self::Revision(args) => revision::run(args).await,
            Self::Channel(args) => channel::run(args).await,
            Self::Promote(args) => assignment::promote(args).await,
            Self::Rollback(args) => assignment::roll_back(args).await,
            Self::Withdraw(args) => assignment::withdraw(args).await,
            Self::Approve(args) => approval::run(args).await,
            Self::Pin(args) => pin::run(args).await,
            Self::Rollout(args) => rollout::run(args).await,
            Self::Check(args) => check::run(args).await,
            Self::Client(args) => fleet::run(args).await,
            Self::History(args) => history::run(args).await,
            Self::Upload(args) => upload::run(args).await,
            Self::Status(args) => status::run(args).await,
            #[cfg(not(feature = "server"))]
            Self::User(args) => user::run(args).await,
            #[cfg(not(feature = "server"))]
            Self::Token(args) => token::run(args).await,
            #[cfg(not(feature = "server"))]
            Self::CertificateMapping(args) => certificate_mapping::run(args).await,
            #[cfg(not(feature = "server"))]
            Self::Audit(args) => audit::run(args).await,
        }
    }
}
