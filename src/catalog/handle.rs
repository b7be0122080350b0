//! The handle to the catalog: rows, bytes, the rules in force, and the state that its clones share in memory.

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
use super::deltas::images_to_look_at::ImagesToLookAt;
use super::deltas::work;
use super::error::Result;
use super::events::feed::Feed;
use super::fleet::recorder::{self, Recorder};
use super::fleet::waiting_reports::WaitingReports;
use super::parts::Parts;
use super::rules::Rules;
use super::snapshot::Snapshot;
use super::update_check::load::{CheckRate, Load};
use super::upload::Turns;
use super::webhooks::outcome;
use crate::model::{Clock, Ids, Job, PartState};
use crate::storage::blobs::Findings;
use crate::storage::tree::Tree;
use crate::storage::{Blobs, Db, StorageError, probe};

/// The time limit for saving interrupted uploads. Saving one takes one sync and one commit.
const SAVING: Duration = Duration::from_secs(10);

/// The catalog: rows, bytes, and the snapshot made from them. It is cheap to clone and shared by all workers.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) tree: Tree,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) instance: Uuid,
    /// The runtime of the whole server. A worker's own runtime ends with the worker.
    pub(crate) runtime: Handle,
    pub(crate) shared: Arc<Shared>,
}

/// The parts that a catalog is assembled from.
pub struct CatalogParts {
    pub db: Db,
    pub blobs: Blobs,
    pub tree: Tree,
    pub rules: Rules,
    pub clock: Clock,
    pub ids: Ids,
    /// The id of this server, which its data folder keeps.
    pub instance: Uuid,
}

/// The state that all clones of a catalog share. It decides nothing: it is a copy of what is in the rows, and signals
/// that wake background work.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// The time when the snapshot was last compared with the catalog.
    pub(super) compared_at: std::sync::Mutex<Option<Instant>>,
    /// Set once the server was ready; it stays so while the database does not answer.
    pub(super) was_ready: AtomicBool,
    /// Allows one refresh at a time. Callers that wait find that their change is already there.
    pub(crate) refreshing: Mutex<()>,
    /// Allows one round of each [`job`](super::job) at a time in this server. A row does the same among the servers.
    pub(crate) jobs: [Mutex<()>; Job::COUNT],
    pub(crate) tree_is_due: Notify,
    pub(super) signing_is_due: Notify,
    pub(crate) sweep_is_due: Notify,
    pub(crate) scrub_is_due: Notify,
    pub(super) images_to_look_at: ImagesToLookAt,
    /// Allows one forecast of a transfer at a time.
    pub(super) forecasting: Arc<Mutex<()>>,
    /// True after startup has claimed the store: from then on, the store must have its mark.
    pub(crate) store_is_marked: AtomicBool,
    /// The order in which writers of this process get each upload.
    pub(super) turns: Turns,
    /// The uploads that are being saved after their requests have ended.
    pub(crate) saving: TaskTracker,
    pub(super) refused_logins: RefusedLogins,
    /// The source of this process's streams of events.
    pub(super) feed: Feed,
    pub(super) check_rate: CheckRate,
    pub(super) waiting_reports: WaitingReports,
    /// The update checks that are not on record yet.
    pub(super) fleet: Recorder,
    /// The state of this server's parts.
    pub(crate) parts: Parts,
}

impl Catalog {
    /// Shows the store's and the record's counters from the start, before anything is counted.
    pub fn begin_at_zero(&self) {
        self.blobs.begin_at_zero();
        recorder::begin_at_zero();
        outcome::begin_at_zero();
        work::begin_at_zero();
    }

    /// Creates the catalog. Must be called within the runtime that lives as long as the server.
    pub fn new(parts: CatalogParts) -> Self {
        let CatalogParts { db, blobs, tree, rules, clock, ids, instance } = parts;
        let shared = Shared {
            snapshot: ArcSwap::default(),
            compared_at: std::sync::Mutex::default(),
            was_ready: AtomicBool::new(false),
            refreshing: Mutex::default(),
            jobs: Default::default(),
            tree_is_due: Notify::new(),
            signing_is_due: Notify::new(),
            sweep_is_due: Notify::new(),
            scrub_is_due: Notify::new(),
            images_to_look_at: ImagesToLookAt::default(),
            forecasting: Arc::default(),
            store_is_marked: AtomicBool::new(false),
            turns: Turns::default(),
            saving: TaskTracker::new(),
            refused_logins: RefusedLogins::default(),
            feed: Feed::default(),
            check_rate: CheckRate::default(),
            waiting_reports: WaitingReports::default(),
            fleet: Recorder::default(),
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

    /// Returns the current rules, which may change while the server runs.
    pub fn rules(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Puts other rules into force.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Wakes the sweep, because something was left behind.
    pub(crate) fn sweep_is_due(&self) {
        self.shared.sweep_is_due.notify_one();
    }

    /// Returns the state of this server's watched parts, as they were last checked; empty before the first check.
    pub fn parts(&self) -> Arc<Vec<PartState>> {
        self.shared.parts.states.load_full()
    }

    /// Counts an update check of this server, and says how to react to it.
    pub fn count_check(&self) -> Load {
        self.shared.check_rate.count(self.clock.now().timestamp(), self.rules().check_rates)
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Tests the store if it is a bucket: see [`probe`].
    pub async fn probe_store(&self) -> Result<Option<Findings>, StorageError> {
        probe::probe(&self.blobs, &self.tree, &self.clock, self.ids.next()).await
    }

    /// Refuses a folder that has lost its mark since startup: what is written there now would be below the mount point,
    /// and hidden when the disk returns. An unreachable bucket reports an error by itself.
    pub(crate) fn check_mounted(&self) -> Result<()> {
        if self.shared.store_is_marked.load(Ordering::Relaxed) {
            self.blobs.check_mark()?;
        }
        Ok(())
    }

    /// Closes the catalog. Uploads that the stop interrupted are saved first.
    pub async fn close(&self) {
        self.save_cut_uploads().await;
        self.record_all_refused_logins().await;
        self.record_all_checks().await;
        self.db.close().await;
    }

    /// Waits until uploads that the stop interrupted are saved, or the time limit is over.
    pub async fn save_cut_uploads(&self) {
        self.shared.saving.close();
        if tokio::time::timeout(SAVING, self.shared.saving.wait()).await.is_err() {
            tracing::warn!("an upload could not be saved in time; its client sends the rest again");
        }
    }
}
