//! One file on its way to the server, over however many connections it takes.
//!
//! Sending and hashing go side by side: the digest follows what is being sent, a little behind it, where
//! the bytes are still in the system's cache. After a restart of the computer it thereby reads again what
//! was sent before, while the rest is already on its way. No digest goes with the request: it would have
//! to be known before the first byte, which costs a whole reading first. Instead it is compared
//! with the server's before the draft is sealed; that covers the same ground, from this disk to the
//! server's.

mod transfer;

use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use self::transfer::{Course, Transfer};
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::draft::Draft;
use super::resume_state::Memory;
use super::sent::Sent;
use super::source::Source;
use crate::client::error::Failure;
use crate::model::Digest;

/// So much is hashed at once; the digest counts as following closely within it.
const STRIDE: u64 = 16 * 1024 * 1024;

/// Sends what the server does not have yet, and hashes the whole.
pub async fn send(
    draft: &Draft<'_>,
    memory: &Memory,
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

/// Of the whole file, following what is sent.
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
            Err(_) => return Err(Failure::new(Exit::Other, "the sending ended early")),
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
