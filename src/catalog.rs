//! The rules of an image's life, in the order of that life; no HTTP, no SQL.
//!
//! Read the modules in the order of an image's life: [`image`], [`revision`], [`upload`] (how a draft gets its bytes),
//! [`bits_upload`] (which does all of that from a file's name alone), [`channel`], [`promotion`], then [`snapshot`]
//! (the offer of every channel, in memory), [`publication`] (keeps the physical tree up to date), [`manifest`]
//! (`channel.json`) and [`update_check`]. [`healing`] repairs files that were found damaged.
//!
//! [`trust`] signs what the tree offers. [`deltas`] makes the chunk lists and deltas beside revisions' files.
//!
//! Outside an image's life: [`fleet`] (the record of clients), [`accounts`] (users, tokens, certificate mappings),
//! [`audit`], [`events`], [`webhooks`], [`idempotency`]. Used by all of these: [`handle`] (the [`Catalog`] itself), [`rules`], [`actor`], [`error`], [`blob_removal`] (removes bytes that
//! nothing refers to), `whole_blob` (stores bytes that are complete already), [`job`] (lets one of several servers do background work for all) and `replicas` (counts the
//! servers whose answers already include a change). The module above, `upkeep`, maintains a depot and transfers it
//! elsewhere.
//!
//! Every change follows the same pattern: begin a transaction, look up, decide, write, audit, commit, then refresh the
//! snapshot. No transaction is open while bytes are transferred.

pub mod accounts;
pub mod actor;
pub mod audit;
pub mod bits_upload;
pub mod blob_removal;
pub mod channel;
pub mod deltas;
pub mod error;
pub mod events;
pub mod fleet;
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
pub mod rollout;
pub mod rules;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod test_catalog;
pub mod trust;
pub mod update_check;
pub mod upload;
pub mod webhooks;
mod whole_blob;

pub use actor::{Actor, ChangeContext, Execution, Precondition};
pub use error::{Error, Result};
pub use handle::{Catalog, CatalogParts};
pub use rules::Rules;
pub use snapshot::Snapshot;
