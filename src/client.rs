//! The command line's side of the API: what `push`, `pull` and `prestage` do over HTTP, and `verify` on a disk.
//!
//! Reading order: [`push`], [`pull`] and [`prestage`] are the jobs, told from top to bottom, and [`verify`] looks at
//! what the last one made, wherever it was taken to. [`connection`] is how they reach the server (address and
//! [`credentials`], [`retry`]); a job that cannot be done ends in a [`Failure`], which knows its [`Exit`] code.
//! [`progress`] and [`output`] are what the person or the script sees.
//!
//! This room speaks to a server through the public API alone: what `push` can do, curl can do. Of the other rooms it
//! uses `model`, and `crate::prestage` for what a kit holds. Reading the command line as a whole and ending the
//! process are left to `main`.

pub mod absent;
pub mod connection;
pub mod credentials;
mod digest;
pub mod error;
pub mod exit_code;
mod files_below;
pub mod folder;
mod interrupt;
mod locked_file;
pub mod nearest;
pub mod output;
pub mod prestage;
pub mod progress;
pub mod pull;
pub mod push;
pub mod retry;

pub mod terminal;
#[cfg(test)]
mod test_server;
pub mod verify;

pub use self::error::Failure;
pub use connection::Connection;
pub use credentials::ServerArgs;
pub use exit_code::{EXIT_CODES, Exit};
