//! The store of blobs: a local folder, S3, Azure or Google Cloud Storage behind one type.
//!
//! A blob lies under a random key from the first byte on, and its row holds the digest: naming it
//! after its content would need a rename when the digest is known, which object stores do not have.
//! Only this module knows where in the store a key lies.
//!
//! `store` is the type, and what is done with a whole blob; `growing` a blob that is not whole yet, `upload` what the
//! catalog asks for while it grows, `appender` how it grows in either place. `bucket` is what is asked of an object store,
//! [`reader`] how a blob is read, [`listing`] what is there at all, `file_identity` which file of this machine a blob is,
//! [`verify`] whether it still is what it was.

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
pub use self::growing::{Complete, Growing, Kept, Multipart, StoredPart, Tail};
pub use self::listing::{Listing, Stored};
pub use self::reader::BlobReader;
pub use self::running_hash::RunningHash;
pub use self::store::{Blobs, check_bucket};
pub use self::write_lease::Hold;
