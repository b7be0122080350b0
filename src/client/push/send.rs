//! Sends one file to the server, over as many connections as it takes.
//!
//! Sending and hashing run in parallel: the digest follows a little behind the bytes being sent, while they are still
//! in the system's cache. After a restart of the computer, this reads what was sent before once more while the rest is
//! already being sent. The request carries no digest: it would have to be known before the first byte, which would need
//! a whole reading first. Instead, the digest is compared with the server's before the draft is sealed. That covers the
//! same path, from this disk to the server's.

mod transfer;

use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::transfer::{Course, Transfer};
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::draft::Draft;
use super::resume_state::PushRecord;
use super::sent::Sent;
use super::source::Source;
use crate::client::error::Failure;
use crate::model::Digest;

/// The number of bytes hashed at once. The digest counts as following closely while it is within this distance.
const STRIDE: u64 = 16 * 1024 * 1024;

/// Sends the part of the file that the server does not have yet, and hashes the whole file.
pub async fn send(
    draft: &Draft<'_>,
    memory: &PushRecord,
    source: &Source,
    progress: &Progress,
) -> Result<Sent, Failure> {
    let bar = progress.file(&source.name(), source.size());
    let transfer = Transfer::new(draft, memory, source, &bar);
    let digest = digest(source, transfer.course(), &bar);
    let (digest, bytes_sent) = tokio::try_join!(digest, transfer.bring())
        .map_err(|failure| failure.while_doing(&format!("sending {}", source.path.display())))?;
    source.must_be_unchanged()?;
    bar.finish_and_clear();
    Ok(Sent { role: source.role, size: source.size(), digest, bytes_sent })
}

/// Hashes the whole file, following the bytes being sent.
async fn digest(
    source: &Source,
    mut course: watch::Receiver<Course>,
    bar: &ProgressBar,
) -> Result<Digest, Failure> {
    let size = source.size();
    let mut hasher = Sha256::new();
    let mut position = 0;
    while position < size {
        let sent = match course.wait_for(|course| course.furthest > position).await {
            Ok(course) => course.furthest,
            Err(_) => return Err(Failure::new(Exit::Other, "the transfer ended early")),
        };
        let behind = sent - position > STRIDE;
        if behind {
            let percent = position * 100 / sent;
            bar.set_message(format!("(checking what was sent: {percent} %)"));
        }
        let until = sent.min(position + STRIDE);
        hasher = source.hash(hasher, position..until).await?;
        position = until;
        if behind && sent - position <= STRIDE {
            bar.set_message("");
        }
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
