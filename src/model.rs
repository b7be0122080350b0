//! The words of the trade: names, states, digests, as types that cannot hold a wrong value.
//!
//! The lowest room: everything above speaks in these types, and they know neither rows nor HTTP.

pub mod digest;

pub use digest::Digest;
