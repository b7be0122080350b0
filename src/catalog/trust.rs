//! The Update Framework over the tree: works out what the depot offers, signs it, and keeps what was signed.
//!
//! [`files`] are the signed files in force, which the snapshot has. [`targets`] says what is to be signed, as a function
//! of the snapshot. [`signing`] signs in the background, on one server at a time, and [`rotation`] replaces keys. The
//! formats and the rules of TUF are in the room `trust`; the physical tree gets its files in
//! [`publication`](super::publication).

pub mod files;
mod limits;
mod lookup;
pub mod rotation;
mod signer;
pub mod signing;
pub mod status;
pub mod targets;
