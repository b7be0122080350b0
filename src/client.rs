//! The command line's side of the API: what `push` and `pull` do over HTTP.
//!
//! Reading order: [`push`] and [`pull`] are the two jobs, told from top to bottom; [`connection`]
//! is how both reach the server (address and [`credentials`], [`retry`]); a job that cannot be done
//! ends in a [`Failure`], which knows its [`Exit`] code. [`progress`] and [`output`] are what
//! the person or the script sees.
//!
//! This room speaks to a server through the public API alone and uses no other room but `model`:
//! what `push` can do, curl can do. Reading the command line as a whole and ending the process are
//! left to `main`.

pub mod connection;
pub mod credentials;
pub mod exit_code;
pub mod failure;
mod interrupt;
mod locked_file;
pub mod output;
pub mod progress;
pub mod pull;
pub mod push;
pub mod retry;

#[cfg(test)]
mod test_server;

pub use connection::Connection;
pub use credentials::ServerArgs;
pub use exit_code::{EXIT_CODES, Exit};
pub use failure::Failure;
