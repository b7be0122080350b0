//! A file in one request: the same engine, for a client that cannot continue later. A request that is not finished
//! leaves nothing behind.

use super::append::Open;
use super::lease::{Claimed, LEASE, new_lease};
use super::{Announcement, Received};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::Upload;
use crate::storage::blobs::Unacknowledged;
use crate::storage::{Holder, StorageError};
use bytes::Bytes;
use tokio::time::Instant;

/// A file that is arriving.
pub struct Incoming {
    open: Option<Open>,
}

impl Catalog {
    /// Reserves disk space for a file of a draft and opens it for writing.
    pub async fn receive(&self, actor: &Actor, announced: Announcement) -> Result<Incoming> {
        let (catalog, actor) = (self.clone(), actor.clone());
        self.to_the_end(async move { catalog.open_whole(&actor, announced).await }).await
    }

    async fn open_whole(&self, actor: &Actor, announced: Announcement) -> Result<Incoming> {
        let holder = Holder {
            claim: 1,
            instance: self.instance,
            boot: None,
            until: self.clock.now() + LEASE,
        };
        let lease = new_lease(Instant::now());
        let upload = self.open_upload(actor, self.ids.next(), &announced, Some(&holder)).await?;
        let turn = self.shared.turns.take(upload.id).await?;
        let mut claimed = Claimed {
            upload,
            number: holder.claim,
            lease,
            unacknowledged: Unacknowledged::CutOff,
            boot_to_note: None,
        };
        match self.open_claimed(&mut claimed).await {
            Ok(mut appender) => {
                if let Some(length) = claimed.upload.length() {
                    appender.expect_end(length);
                }
                let open = Open::new(self, actor, claimed, appender, turn);
                Ok(Incoming { open: Some(open) })
            }
            Err(error) => {
                self.discard_or_log(&claimed.upload).await;
                Err(error)
            }
        }
    }
}

impl Incoming {
    /// Writes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let open = self.open.as_mut().ok_or(Error::UploadLost)?;
        open.write(bytes).await.map_err(to_be_sent_again)
    }

    /// Checks what has arrived, makes it durable, and commits it to the draft. If it is refused, nothing is kept.
    pub async fn finish(mut self, actor: &Actor) -> Result<Received> {
        let mut open = self.open.take().ok_or(Error::UploadLost)?;
        let (catalog, actor) = (open.catalog.clone(), actor.clone());
        let finishing = async move {
            let finished = complete(&mut open, &actor).await.map_err(to_be_sent_again);
            if finished.is_err() {
                discard(open).await;
            }
            finished
        };
        catalog.to_the_end(finishing).await
    }

    /// Removes everything that has arrived.
    pub async fn abandon(mut self) {
        if let Some(open) = self.open.take() {
            let catalog = open.catalog.clone();
            let discarding = async move {
                discard(open).await;
                Ok(())
            };
            // A failure was logged where it occurred.
            let _discarded = catalog.to_the_end(discarding).await;
        }
    }
}

/// Converts errors of a session that has to be started again: here it is the request that has to be repeated.
fn to_be_sent_again(error: Error) -> Error {
    match error {
        Error::UploadNotFound | Error::Storage(StorageError::Damaged(_)) => Error::UploadLost,
        other => other,
    }
}

async fn complete(open: &mut Open, actor: &Actor) -> Result<Received> {
    let received = open.appender.taken();
    match open.upload.length() {
        Some(announced) if received < announced => {
            return Err(Error::Truncated { announced, received });
        }
        Some(_) => {}
        None => open.settle_length(received).await?,
    }
    let kept = open.sync().await?;
    if !kept.parts.is_empty() {
        open.note(&kept).await?;
    }
    let whole = Upload { hash_state: kept.hash_state, received, ..open.upload.clone() };
    open.catalog.finish_claimed(actor, &whole, open.claim, &open.lease).await
}

async fn discard(mut open: Open) {
    open.appender.stop().await;
    open.catalog.discard_or_log(&open.upload).await;
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (runtime, saving) = (open.catalog.runtime.clone(), open.catalog.shared.saving.clone());
        saving.spawn_on(discard(open), &runtime);
    }
}
