//! What every channel offers, in memory: one immutable picture of one moment of the catalog.
//!
//! Update checks, the tree's HTTP names and log-ins are answered from it, without the database, and
//! go on while that is away. Every change replaces it before the change is acknowledged; changes by
//! other processes reach it within a second ([`Catalog::follow`]).

mod certificates;
mod load;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use certificates::CertificateMappings;

use super::channel::PRODUCTION;
use super::{Catalog, Result};
use crate::model::{
    Account, AccountName, ApiToken, Channel, ChannelName, Digest, FileRole, ImageName, Promotion,
    ReadAccess, SigningKey, TokenName,
};

/// How often a process looks whether another one changed the catalog.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One moment of the catalog.
///
/// Cheap to clone, as every change does: what did not change is shared.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// None until the first one is loaded.
    version: Option<i64>,
    images: HashMap<String, Arc<ImageOffer>>,
    channels: HashMap<String, Arc<ChannelOffer>>,
    /// By path below the tree's root, in lower case: Windows clients do not keep case.
    tree: HashMap<Arc<str>, TreeEntry>,
    /// The paths that lead to an image's files.
    paths: HashMap<Uuid, Vec<Arc<str>>>,
    accounts: HashMap<String, Arc<Account>>,
    tokens: Arc<Tokens>,
    certificate_mappings: Arc<CertificateMappings>,
}

/// The tokens that are good, and the keys that signed them.
#[derive(Default)]
struct Tokens {
    by_id: HashMap<Uuid, Arc<ApiToken>>,
    /// The newest first.
    keys: Vec<SigningKey>,
}

/// A channel and its manifest.
pub struct ChannelOffer {
    pub channel: Channel,
    /// `channel.json`.
    pub manifest: Bytes,
    pub manifest_digest: Digest,
}

/// An image and what it offers in each channel, by the channel's key.
pub struct ImageOffer {
    pub id: Uuid,
    pub name: ImageName,
    pub revoked: HashSet<i64>,
    offers: HashMap<String, Arc<Offer>>,
}

/// What an image offers in one channel.
pub struct Offer {
    pub promotion: Promotion,
    /// None while the revision is in quarantine.
    pub files: Vec<OfferedPath>,
}

/// A file of the assigned revision, with its path below the tree's root.
#[derive(Debug, Clone)]
pub struct OfferedPath {
    pub role: FileRole,
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

/// What a path of the tree leads to.
#[derive(Clone)]
pub enum TreeEntry {
    File(Arc<TreeFile>),
    /// The channel's `channel.json`.
    Manifest(Arc<ChannelOffer>),
}

/// A revision's file in the tree.
#[derive(Debug)]
pub struct TreeFile {
    pub image: ImageName,
    pub read_access: ReadAccess,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
    pub sealed_at: DateTime<Utc>,
}

impl Snapshot {
    pub fn is_loaded(&self) -> bool {
        self.version.is_some()
    }

    pub fn version(&self) -> i64 {
        self.version.unwrap_or(0)
    }

    pub fn image(&self, name: &ImageName) -> Option<&ImageOffer> {
        self.images.get(&name.key()).map(AsRef::as_ref)
    }

    pub fn channel(&self, name: &ChannelName) -> Option<&Arc<ChannelOffer>> {
        self.channels.get(&name.key())
    }

    /// The channel that is meant when none is named.
    pub fn production(&self) -> Option<&Arc<ChannelOffer>> {
        self.channels.get(PRODUCTION)
    }

    pub fn channels(&self) -> impl Iterator<Item = &Arc<ChannelOffer>> {
        self.channels.values()
    }

    pub fn tree_entry(&self, path: &str) -> Option<&TreeEntry> {
        self.tree.get(path.to_ascii_lowercase().as_str())
    }

    /// Who may read the folder that a path of the tree lies in, where a channel publishes there.
    pub fn read_access_of_folder(&self, path: &str) -> Option<ReadAccess> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut channels = self.channels.values().map(|offer| &offer.channel);
        channels
            .find(|channel| channel.folder.eq_ignore_ascii_case(folder))
            .map(|channel| channel.read_access)
    }

    pub fn account(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.accounts.get(&name.key())
    }

    /// A token that was good when this picture was made: it may have expired since.
    pub fn token(&self, id: Uuid) -> Option<&Arc<ApiToken>> {
        self.tokens.by_id.get(&id)
    }

    /// The same by its name, which is one living token's.
    pub fn token_by_name(&self, name: &TokenName, now: DateTime<Utc>) -> Option<&Arc<ApiToken>> {
        let key = name.key();
        let mut tokens = self.tokens.by_id.values();
        tokens.find(|token| token.is_live(now) && token.name.key() == key)
    }

    /// The keys whose tokens are good, the newest first.
    pub fn signing_keys(&self) -> &[SigningKey] {
        &self.tokens.keys
    }

    /// Which user a client certificate stands for.
    pub fn certificate_mappings(&self) -> &CertificateMappings {
        &self.certificate_mappings
    }
}

impl ImageOffer {
    pub fn offer(&self, channel: &ChannelName) -> Option<&Arc<Offer>> {
        self.offers.get(&channel.key())
    }
}

impl Catalog {
    /// The newest picture.
    pub fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.shared.snapshot.load()
    }

    /// Brings the picture up to the catalog's state. A change that cannot be shown at once, because
    /// the database went away behind its commit, is shown by [`Self::follow`] later.
    pub async fn refresh(&self) {
        if let Err(error) = self.try_refresh().await {
            tracing::warn!(%error, "the snapshot could not be refreshed; clients see the state before");
        }
    }

    /// As [`Self::refresh`], for those who must know whether it worked.
    pub async fn try_refresh(&self) -> Result<()> {
        // Whoever waited here finds its change in the picture that was made meanwhile, or makes it.
        let _one_at_a_time = self.shared.refreshing.lock().await;
        let mut tx = self.db.read().await?;
        let before = self.shared.snapshot.load_full();
        if let Some(snapshot) =
            load::load(&mut tx, &before, &self.rules(), self.clock.now()).await?
        {
            self.shared.snapshot.store(Arc::new(snapshot));
        }
        Ok(())
    }

    /// Looks at the catalog now, if it answers soon; says whether it had changed.
    pub async fn has_news(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        let before = self.snapshot().version;
        // Cut off or failed, it is made up for by the next refresh.
        let _looked = tokio::time::timeout(PATIENCE, self.refresh()).await;
        self.snapshot().version != before
    }

    /// Parts that do not work at the moment; what is left is answered from the picture.
    pub async fn degraded_parts(&self) -> Vec<&'static str> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let asked =
            tokio::time::timeout(PATIENCE, async { self.db.read().await?.catalog_state().await });
        let mut degraded = Vec::new();
        if !matches!(asked.await, Ok(Ok(_))) {
            degraded.push("catalog");
        }
        if self.blobs.free_bytes().is_err() || self.check_mounted().is_err() {
            degraded.push("store");
        }
        degraded
    }

    /// Follows changes that other processes make (replicas, the command line), until cancelled.
    ///
    /// Asks for the version number, which is one indexed row; on PostgreSQL a notification wakes it
    /// at once, and the asking is what stands behind lost notifications.
    pub async fn follow(&self) {
        let mut news = self.db.news().await;
        loop {
            news.wait(LOOK_EVERY).await;
            let before = self.snapshot().version();
            self.refresh().await;
            if self.snapshot().version() != before {
                self.tree_is_due();
            }
        }
    }
}
