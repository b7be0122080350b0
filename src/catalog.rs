//! The rules of an image's life, in its order; no HTTP, no SQL.
//!
//! Read along the life: [`image`], [`revision`], [`upload`] (how a draft gets its bytes), [`bits_upload`] (which does all
//! of that by a file's name alone), [`channel`], [`promotion`], then [`snapshot`] (what every channel offers, in memory),
//! [`publication`] (the physical tree follows), [`manifest`] (`channel.json`) and [`update_check`]. [`healing`] is for
//! bytes that were found damaged.
//!
//! Beside the life: [`accounts`] (users, tokens, certificate mappings), [`audit`], [`idempotency`]. Below all of it:
//! [`handle`] (the [`Catalog`] itself), [`rules`], [`actor`], [`error`], [`blob_removal`] (bytes that nothing refers to),
//! [`job`], by which one of several servers does background work for all, and `replicas` (how many of them answer by a change). What keeps a depot whole and carries it elsewhere is the room above, `upkeep`.
//!
//! Every change has the same shape: begin a transaction, look up, decide, write, audit, commit, then let the snapshot
//! follow. No transaction is open while bytes move.

pub mod accounts;
pub mod actor;
pub mod audit;
pub mod bits_upload;
pub mod blob_removal;
pub mod channel;
pub mod error;
pub mod handle;
pub mod healing;
pub mod idempotency;
pub mod image;
pub mod job;
pub mod manifest;
pub mod parts;
pub mod promotion;
pub mod publication;
mod replicas;
pub mod revision;
pub mod rules;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod test_catalog;
pub mod update_check;
pub mod upload;

pub use actor::{Actor, ChangeContext, Execution, Precondition};
pub use error::{Error, Result};
pub use handle::{Catalog, CatalogParts};
pub use rules::Rules;
pub use snapshot::Snapshot;
