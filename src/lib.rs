#![doc = include_str!("../ARCHITECTURE.md")]
// These macros panic if the reader of the output is gone; the functions of `client::output` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(feature = "client"))]
compile_error!(
    "choose the cargo feature `server` (the default: everything) or `client` (the commands that work over HTTP)"
);

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod catalog;
pub mod client;
pub mod command_line;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod delivery;
pub mod delta;
pub mod file_system;
pub mod model;
pub mod prestage;
pub mod rollout;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod storage;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod trust;
#[cfg(feature = "server")]
pub mod upkeep;
#[cfg(feature = "server")]
pub mod wire;
