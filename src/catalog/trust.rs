//! The Update Framework over the tree: works out what the depot offers, signs it, and keeps what was signed.
//!
//! [`files`] are the signed files in force, which the snapshot has. [`targets`] says what is to be signed, as a function
//! of the snapshot. [`signing`] signs in the background, on one server at a time, and [`rotation`] replaces keys. Keys
//! may be elsewhere: [`offline`] makes the files that are carried to them, [`import`] takes the signatures back, and
//! [`signed_state`] is what they have signed, while more waits. The formats and the rules of TUF are in the room `trust`; the physical tree gets its files in
//! [`publication`](super::publication).

pub mod files;
pub mod import;
mod limits;
mod lookup;
pub mod offline;
pub mod refused;
pub mod rotation;
pub mod signed_state;
mod signer;
pub mod signing;
pub mod status;
pub mod targets;
