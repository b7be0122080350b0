//! A tree that is believed for its signatures alone, wherever it is served from: the depot, a mirror, a bucket, a proxy.
//!
//! [`tree`] fetches the metadata along the walk of the room `trust`, and [`channel`] what a channel offers there.
//! `state` keeps what was seen. [`check`] reads a whole tree.

pub mod channel;
pub mod check;
mod state;
pub mod tree;
