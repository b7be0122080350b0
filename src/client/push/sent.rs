//! A file that has come through: its role, its digest and what it cost.

use crate::model::Digest;

/// What was read here and acknowledged there.
#[derive(Debug)]
pub struct Sent {
    pub role: &'static str,
    pub size: u64,
    pub digest: Digest,
    /// Over the network, in this push: less than the size when an earlier one had sent some, more when
    /// something had to be sent again.
    pub bytes_sent: u64,
}
