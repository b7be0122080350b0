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
    /// Takes one out. It is put back if the work on it fails.
    pub(super) fn take_one(&self) -> Option<Uuid> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    pub(super) fn put_back(&self, image: Uuid) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).insert(image);
    }

    pub(super) fn add(&self, image: Uuid) {
        self.put_back(image);
        self.bell.notify_one();
    }

    /// Waits until an image is added, for at most this time.
    pub(super) async fn added(&self, within: Duration) {
        let _either = timeout(within, self.bell.notified()).await;
    }
}
