//! The store of blobs: a local folder, S3, Azure or Google Cloud Storage behind one type.
//!
//! A blob is stored under a random key from the first byte on, and its row holds the digest. Naming it after its
//! content would require a rename once the digest is known, and object stores have no rename. Only this module knows
//! where in the store a key is.
//!
//! `store` is the type, with the operations on a whole blob; `growing` describes a blob that is not complete yet,
//! `upload` has the operations that the catalog needs while it grows, and `appender` lets it grow in either place.
//! `bucket` has the operations on an object store, [`reader`] reads blobs, [`listing`] lists everything that is stored,
//! `file_identity` identifies the local file that a blob is, and [`verify`] checks that a blob is still intact.

mod appender;
mod bucket;
mod file_identity;
mod growing;
pub mod listing;
pub mod reader;
pub mod running_hash;
mod staged_file;
mod store;
#[cfg(test)]
pub(crate) mod test_bucket;
mod upload;
pub mod verify;
mod write_lease;

pub use self::appender::Appender;
pub(super) use self::bucket::client::{Answer, Client, Encryption, Service, connect};
pub(super) use self::bucket::of_a_file;
pub use self::bucket::probe::Findings;
pub(super) use self::bucket::probe::unusable;
pub(super) use self::bucket::time_limits::{COPYING, SIGNED_FOR, in_time, within};
pub use self::bucket::{CopySource, StoredObject};
pub use self::file_identity::{Identities, ReadFile};
pub use self::growing::{Complete, Growing, Kept, Multipart, StoredPart, Unacknowledged};
pub use self::listing::{Listing, Stored};
pub use self::reader::BlobReader;
pub use self::running_hash::RunningHash;
pub use self::store::{Blobs, check_bucket};
pub use self::write_lease::WriteLease;
