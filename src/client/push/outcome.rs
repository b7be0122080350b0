//! The result of a push, as a sentence for people and a document for scripts.

use std::fmt;

use serde_json::json;

use super::sent::Sent;

/// A sealed revision with the files that were sent.
#[derive(Debug)]
pub struct Ready {
    pub image: String,
    pub revision: u64,
    pub files: Vec<Sent>,
    /// Set if the server already had the revision.
    pub was_there: bool,
}

impl Ready {
    pub fn bytes_total(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    pub fn bytes_sent(&self) -> u64 {
        self.files.iter().map(|file| file.bytes_sent).sum()
    }

    pub fn document(
        &self,
        channel: Option<&str>,
        epoch: Option<u64>,
        seconds: f64,
    ) -> serde_json::Value {
        json!({
            "image": self.image,
            "revision": self.revision,
            "state": "ready",
            "was_there": self.was_there,
            "files": self.files.iter().map(|file| json!({
                "role": file.role, "size": file.size, "digest": file.digest.to_string(),
            })).collect::<Vec<_>>(),
            "channel": channel,
            "epoch": epoch,
            "bytes_total": self.bytes_total(),
            "bytes_sent": self.bytes_sent(),
            "seconds": seconds,
        })
    }

    pub fn sentence(&self, channel: Option<&str>, seconds: f64) -> String {
        let promoted =
            channel.map(|channel| format!(", promoted to {channel}")).unwrap_or_default();
        if self.was_there {
            return format!(
                "{self} already has these files{promoted} (nothing was sent, {seconds:.1} s)"
            );
        }
        format!(
            "{self} is ready{promoted} ({}, of which {} were sent now, {seconds:.1} s)",
            indicatif::BinaryBytes(self.bytes_total()),
            indicatif::BinaryBytes(self.bytes_sent()),
        )
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revision {}", self.image, self.revision)
    }
}
