//! A tree that is believed for its signatures alone, wherever it is served from: the depot, a mirror, a bucket, a proxy.
//!
//! [`tree`] fetches the metadata from its `source` along the walk of the room `trust`, and [`channel`] what a channel
//! offers there. [`copy`] keeps all metadata of a moment (a [`picture`]) in a folder. `state` keeps what was seen.
//! [`check`] reads a whole tree.

pub mod channel;
pub mod check;
pub mod copy;
pub mod picture;
pub mod source;
mod state;
pub mod tree;
