//! The rules of an image's life, in its order; no HTTP, no SQL.
//!
//! Read along the life: [`image`], [`revision`], [`upload`] (how a draft gets its bytes), [`bits_upload`]
//! (which does all of that by a file's name alone), [`channel`], [`promotion`], then [`snapshot`] (what every channel offers, in memory), [`publication`] (the
//! physical tree follows), [`manifest`] (`channel.json`) and [`update_check`]. Beside the road:
//! [`account`], [`token`], [`certificate_mapping`], [`audit`], [`idempotency`]. What keeps a
//! catalog clean and sound: [`sweep`] (what is left behind), [`retention`], [`garbage`], [`scrub`], [`backup`]; of several
//! servers one does such work (`job`), and `gauges` tell of it. From elsewhere and to elsewhere: [`rebuild`] (from the
//! tree alone), [`export`] and [`take_over`] (both by [`transfer`]), [`relocate`] (all of it).
//!
//! Every change has the same shape: begin a transaction, look up, decide, write, audit, commit, then
//! let the snapshot follow. No transaction is open while bytes move.

pub mod account;
pub mod actor;
pub mod audit;
pub mod backup;
pub mod bits_upload;
pub mod certificate_mapping;
pub mod channel;
pub mod error;
pub mod export;
pub mod first_start;
pub mod garbage;
mod gauges;
pub mod idempotency;
pub mod image;
mod job;
pub mod manifest;
pub mod promotion;
pub mod publication;
pub mod rebuild;
pub mod relocate;
pub mod retention;
pub mod revision;
pub mod scrub;
pub mod snapshot;
pub mod sweep;
pub mod take_over;
pub mod token;
pub mod transfer;
pub mod update_check;
pub mod upload;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use actor::{Actor, Precondition};
pub use error::Error;
pub use snapshot::Snapshot;

use crate::model::{Clock, FilePattern, Ids, Job};
use crate::storage::blobs::Findings;
use crate::storage::tree::Tree;
use crate::storage::{Blobs, Db, StorageError, probe};
use audit::refused_logins::RefusedLogins;
use bits_upload::BitsRules;
use scrub::ScrubRules;

/// Saving an upload is one sync and one commit.
const SAVING: Duration = Duration::from_secs(10);

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the rules are told from outside: see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Rules {
    pub pattern: FilePattern,
    /// How long a withdrawn file stays for those who are fetching it.
    pub grace: Duration,
    /// The largest file, in bytes.
    pub max_file_size: u64,
    /// Free bytes that uploads leave on the disk, for the database to go on.
    pub min_free: u64,
    /// The most bytes that an image's files may have together; 0 is no limit.
    pub image_quota: u64,
    /// How long the bytes of deleted revisions stay.
    pub safety_age: Duration,
    /// An upload without progress goes after so long, and a draft that nobody touched.
    pub expire_after: Duration,
    /// How often a client asks for updates, in seconds.
    pub check_period: u32,
    /// How long a token is good when nothing is said.
    pub token_lifetime: Duration,
    pub longest_token_lifetime: Duration,
    pub bits: BitsRules,
    pub scrub: ScrubRules,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pattern: FilePattern::default(),
            grace: Duration::from_hours(24),
            max_file_size: 1 << 40,
            min_free: 256 << 20,
            image_quota: 0,
            safety_age: Duration::from_hours(1),
            expire_after: Duration::from_hours(14 * 24),
            check_period: 900,
            token_lifetime: Duration::from_hours(90 * 24),
            longest_token_lifetime: Duration::from_hours(366 * 24),
            bits: BitsRules::default(),
            scrub: ScrubRules::default(),
        }
    }
}

/// The catalog: rows, bytes, and the snapshot made of them. Cheap to clone, shared by all workers.
#[derive(Clone)]
pub struct Catalog {
    db: Db,
    blobs: Blobs,
    tree: Tree,
    rules: Arc<ArcSwap<Rules>>,
    clock: Clock,
    ids: Ids,
    instance: Uuid,
    /// The runtime of the whole server: a worker's own ends with the worker.
    runtime: Handle,
    shared: Arc<Shared>,
}

/// What all clones of a catalog hold together. None of it decides anything: it is a copy of what the
/// rows say, and bells that wake background work.
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// One refresh at a time; those who wait find their change already there.
    refreshing: Mutex<()>,
    /// One round of each [`job`] at a time of this server's; a row keeps the servers apart.
    jobs: [Mutex<()>; Job::COUNT],
    tree_is_due: Notify,
    sweep_is_due: Notify,
    scrub_is_due: Notify,
    /// Whether the start has looked for the store's mark: it stays there from then on.
    store_is_marked: AtomicBool,
    /// Who of this process's writers has which upload.
    turns: upload::Turns,
    /// Uploads that are being saved after their request has gone.
    saving: TaskTracker,
    refused_logins: RefusedLogins,
}

impl Catalog {
    /// To be called within the runtime that lives as long as the server.
    pub fn new(
        db: Db,
        blobs: Blobs,
        tree: Tree,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        instance: Uuid,
    ) -> Self {
        let shared = Shared {
            snapshot: ArcSwap::default(),
            refreshing: Mutex::default(),
            jobs: Default::default(),
            tree_is_due: Notify::new(),
            sweep_is_due: Notify::new(),
            scrub_is_due: Notify::new(),
            store_is_marked: AtomicBool::new(false),
            turns: upload::Turns::default(),
            saving: TaskTracker::new(),
            refused_logins: RefusedLogins::default(),
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

    /// Ends the catalog; uploads that were cut off by the stop are saved first.
    pub async fn close(&self) {
        self.shared.saving.close();
        if tokio::time::timeout(SAVING, self.shared.saving.wait()).await.is_err() {
            tracing::warn!("an upload could not be saved in time; its client sends the rest again");
        }
        self.record_all_refused_logins().await;
        self.db.close().await;
    }
}
