//! The rules of a static copy.

use std::time::Duration;

use crate::model::ChannelName;

/// The rules of a copy.
#[derive(Debug)]
pub struct Rules {
    pub channels: Vec<ChannelName>,
    /// The number of earlier revisions of each image that stay.
    pub keep: usize,
    /// The time for which a file stays that nothing names any more.
    pub grace: Duration,
}
