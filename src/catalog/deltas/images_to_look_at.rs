//! The images that this server has changed, whose transfer files may be missing. Only a help: every server looks at all
//! images when it starts, and regularly.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct ImagesToLookAt {
    images: Mutex<BTreeSet<Uuid>>,
    bell: Notify,
}

impl ImagesToLookAt {
    pub(super) fn take(&self) -> BTreeSet<Uuid> {
        std::mem::take(&mut self.images.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put_back(&self, images: BTreeSet<Uuid>) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).extend(images);
    }

    /// Waits until an image is added, or the time is over, and reports which.
    pub(super) async fn added(&self, within: Duration) -> bool {
        timeout(within, self.bell.notified()).await.is_ok()
    }

    pub(super) fn add(&self, image: Uuid) {
        self.put_back(BTreeSet::from([image]));
        self.bell.notify_one();
    }
}
