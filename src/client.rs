//! The command line's side of the API: `push`, `pull`, `prestage`, `simulate` and the commands of daily work are done over
//! HTTP; `verify` checks files on a disk, and `delta` makes others from them.
//!
//! Reading order: [`push`], [`pull`] and [`prestage`] are the commands, each written from top to bottom, and [`verify`]
//! checks a kit that [`prestage`] made, wherever it was copied to, or a tree by its signed metadata (`trust`). [`agent`]
//! pulls by itself, and [`mirror`] keeps a copy of a tree. [`simulate`] is a fleet of clients that loads a server. [`offline`] has the keys that are kept away
//! from every server. [`daily`] has the commands that move no bytes, one file for each noun. [`connection`] reaches the
//! server (address and [`credentials`], [`retry`]). A command that cannot be done ends in a [`Failure`], which knows its
//! [`Exit`] code. [`progress`], [`output`] and [`table`] are what the user or the script sees.
//!
//! This module uses the server's public API only: curl can do everything that `push` does. Of the other modules it uses
//! `model`, `crate::prestage` for the contents of a kit, and `crate::delta`. Parsing the whole command line and ending the process are
//! left to `main`.

pub mod absent;
pub mod agent;
mod bandwidth;
mod cell;
pub mod connection;
pub mod credentials;
pub mod daily;
pub mod delta;
mod digest;
pub mod error;
pub mod exit_code;
mod files_below;
pub mod folder;
mod interrupt;
mod locked_file;
pub mod mirror;
pub mod nearest;
pub mod new_password;
pub mod offline;
pub mod output;
pub mod prestage;
pub mod progress;
pub mod pull;
pub mod push;
pub mod retry;
pub mod secret_file;
pub mod simulate;
mod state_file;
pub mod table;
pub mod terminal;
#[cfg(test)]
mod test_server;
mod tls_files;
mod trust;
pub mod verify;

pub use self::error::Failure;
pub use connection::Connection;
pub use credentials::ServerArgs;
pub use exit_code::{EXIT_CODES, Exit};
