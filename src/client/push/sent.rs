//! A file that was sent completely: its role, its digest and the bytes it took.

use crate::model::Digest;

/// A file whose bytes were read here and acknowledged by the server.
#[derive(Debug)]
pub struct Sent {
    pub role: &'static str,
    pub size: u64,
    pub digest: Digest,
    /// The bytes sent over the network in this push: less than the size if an earlier push had sent some, more if
    /// something had to be sent again.
    pub bytes_sent: u64,
}
