//! The Update Framework (TUF 1.0): metadata with which a client that trusts one `root.json` believes neither a mirror, a
//! bucket nor a proxy.
//!
//! Everything here is a function of bytes, keys and time; nothing here reads a catalog, a disk or a network. [`role`]
//! names the metadata files, [`metadata`] has their contents, [`canonical`] and [`envelope`] how they are signed with
//! the keys of [`key`]. The server's side is [`generation`]: which files have to be signed anew. The client's side is
//! [`walk`]: which files a client believes, and why it refuses one. Keys may be kept elsewhere ([`key_file`]): then
//! [`carried`] is the file that a person takes there, and back. Storing keys and serving files is left to the catalog,
//! and fetching them to the client.

pub mod canonical;
pub mod carried;
pub mod envelope;
pub mod generation;
pub mod key;
pub mod key_file;
pub mod metadata;
pub mod moment;
pub mod role;
#[cfg(test)]
pub(crate) mod test_depot;
pub mod walk;

pub use key::{KeyId, KeyPair, PublicKey};
pub use metadata::Target;
pub use moment::Moment;
pub use role::RoleName;
pub use walk::{Refusal, Walk};
