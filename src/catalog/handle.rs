//! The catalog as everybody holds it: rows, bytes, the rules in force, and what its clones share in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::audit::refused_logins::RefusedLogins;
use super::error::Result;
use super::parts::Parts;
use super::rules::Rules;
use super::snapshot::Snapshot;
use super::upload::Turns;
use crate::model::{Clock, Ids, Job, PartState};
use crate::storage::blobs::Findings;
use crate::storage::tree::Tree;
use crate::storage::{Blobs, Db, StorageError, probe};

/// Saving an upload is one sync and one commit.
const SAVING: Duration = Duration::from_secs(10);

/// The catalog: rows, bytes, and the snapshot made of them. Cheap to clone, shared by all workers.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) tree: Tree,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) instance: Uuid,
    /// The runtime of the whole server: a worker's own ends with the worker.
    pub(crate) runtime: Handle,
    pub(crate) shared: Arc<Shared>,
}

/// What a catalog is put together from.
pub struct CatalogParts {
    pub db: Db,
    pub blobs: Blobs,
    pub tree: Tree,
    pub rules: Rules,
    pub clock: Clock,
    pub ids: Ids,
    /// This server's, anew with each start.
    pub instance: Uuid,
}

/// What all clones of a catalog hold together. None of it decides anything: it is a copy of what the
/// rows say, and bells that wake background work.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// When the snapshot was last compared with the catalog.
    pub(super) compared_at: std::sync::Mutex<Option<Instant>>,
    /// One refresh at a time; those who wait find their change already there.
    pub(crate) refreshing: Mutex<()>,
    /// One round of each [`job`](super::job) at a time of this server's; a row keeps the servers apart.
    pub(crate) jobs: [Mutex<()>; Job::COUNT],
    pub(crate) tree_is_due: Notify,
    pub(crate) sweep_is_due: Notify,
    pub(crate) scrub_is_due: Notify,
    /// Whether the start has looked for the store's mark: it stays there from then on.
    pub(crate) store_is_marked: AtomicBool,
    /// Who of this process's writers has which upload.
    pub(super) turns: Turns,
    /// Uploads that are being saved after their request has gone.
    pub(crate) saving: TaskTracker,
    pub(super) refused_logins: RefusedLogins,
    /// How the parts of this server are.
    pub(crate) parts: Parts,
}

impl Catalog {
    /// To be called within the runtime that lives as long as the server.
    pub fn new(parts: CatalogParts) -> Self {
        let CatalogParts { db, blobs, tree, rules, clock, ids, instance } = parts;
        let shared = Shared {
            snapshot: ArcSwap::default(),
            compared_at: std::sync::Mutex::default(),
            refreshing: Mutex::default(),
            jobs: Default::default(),
            tree_is_due: Notify::new(),
            sweep_is_due: Notify::new(),
            scrub_is_due: Notify::new(),
            store_is_marked: AtomicBool::new(false),
            turns: Turns::default(),
            saving: TaskTracker::new(),
            refused_logins: RefusedLogins::default(),
            parts: Parts::default(),
        };
        Self {
            db,
            blobs,
            tree,
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            clock,
            ids,
            instance,
            runtime: Handle::current(),
            shared: Arc::new(shared),
        }
    }

    /// As they are now: they may change while the server runs.
    pub fn rules(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Puts other rules in force.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Wakes the sweep: something was left behind.
    pub(crate) fn sweep_is_due(&self) {
        self.shared.sweep_is_due.notify_one();
    }

    /// The parts of this server that are watched, as they were last found; none before the first look at them.
    pub fn parts(&self) -> Arc<Vec<PartState>> {
        self.shared.parts.states.load_full()
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Tries the store, where that is a bucket: see [`probe`].
    pub async fn probe_store(&self) -> Result<Option<Findings>, StorageError> {
        Box::pin(probe::probe(&self.blobs, &self.tree, &self.clock, self.ids.next())).await
    }

    /// Refuses a folder that has lost its mark since the start: what is written there now is under the mount point, and
    /// gone with the disk's return. A bucket that is away says so itself.
    pub(crate) fn check_mounted(&self) -> Result<()> {
        if self.shared.store_is_marked.load(Ordering::Relaxed) {
            self.blobs.check_mark()?;
        }
        Ok(())
    }

    /// Ends the catalog; uploads that were cut off by the stop are saved first.
    pub async fn close(&self) {
        self.save_cut_uploads().await;
        self.record_all_refused_logins().await;
        self.db.close().await;
    }

    /// Waits until uploads that were cut off by the stop are saved.
    pub async fn save_cut_uploads(&self) {
        self.shared.saving.close();
        if tokio::time::timeout(SAVING, self.shared.saving.wait()).await.is_err() {
            tracing::warn!("an upload could not be saved in time; its client sends the rest again");
        }
    }
}
