//! `imagedepot`: the repository from which an organisation's machines get their
//! virtual-machine images.
//!
//! # Reading order
//!
//! The rooms, from the ground up. Each uses those above it in this list and never those below
//! (`tests/integration/layers.rs` holds that):
//!
//! 1. [`model`]: the words of the trade as types that cannot hold a wrong value.
//! 2. [`storage`]: rows (SQLite and PostgreSQL behind one type) and bytes (blobs, the physical tree).
//! 3. [`catalog`]: the rules of an image's life, in its order. No HTTP, no SQL. Begin here to learn
//!    what the product does.
//! 4. [`upkeep`]: what keeps a depot whole and carries it elsewhere.
//! 5. [`wire`]: protocols that others defined: ranges, preconditions, digest fields.
//! 6. [`prestage`]: what a pre-staging kit holds, as text.
//! 7. [`access`]: who is calling, and what they may.
//! 8. [`config`]: the settings.
//! 9. [`telemetry`]: logs, the access log, metrics, request ids.
//! 10. [`api`]: HTTP, one file per noun. Begin here to learn what a request does.
//! 11. [`server`]: listeners, background work, the graceful stop.
//! 12. [`client`]: the command line's side of the API: push, pull, prestage, verify. Knows the API only as HTTP.
//! 13. [`command_line`]: one subcommand a job.
//!
//! `ARCHITECTURE.md` walks one image through them.

pub mod access;
pub mod api;
pub mod catalog;
pub mod client;
pub mod command_line;
pub mod config;
pub mod model;
pub mod prestage;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod upkeep;
pub mod wire;
