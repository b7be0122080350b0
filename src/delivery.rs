//! The delivery of events to webhooks: the only place where the server calls what its users name.
//!
//! [`address`] says which addresses may be called, `lookup` finds them for each connection, [`signature`] signs as
//! Standard Webhooks defines it, [`sender`] makes one call, and `worker` makes all that are due. What is due, and what
//! follows from an outcome, is in `catalog::webhooks`.

pub mod address;
mod lookup;
pub mod sender;
pub mod signature;
mod worker;

pub use sender::Sender;
pub use worker::keep_delivering;
