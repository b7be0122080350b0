//! The state of the catalog at one moment, and the queries on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::certificates::CertificateMappings;
use crate::catalog::trust::files::TrustFiles;
use crate::model::channel::PRODUCTION;
use crate::model::{
    Account, AccountName, ApiToken, Channel, ChannelName, Digest, FileRole, FolderDocument,
    ImageName, OfferedImage, Promotion, ReadAccess, SigningKey, TokenName, TransferKind,
};

/// The state of the catalog at one moment.
///
/// It is cheap to clone, which every change does: unchanged parts are shared.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The catalog's version; none until the first snapshot is loaded.
    pub(super) version: Option<i64>,
    pub(super) images: HashMap<String, Arc<ImageOffer>>,
    pub(super) channels: HashMap<String, Arc<ChannelOffer>>,
    /// The files by path below the tree's root, in lower case, because Windows clients ignore case.
    pub(super) tree: HashMap<Arc<str>, TreeEntry>,
    /// The paths of each image's files.
    pub(super) paths: HashMap<Uuid, Vec<Arc<str>>>,
    pub(super) accounts: HashMap<String, Arc<Account>>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) certificate_mappings: Arc<CertificateMappings>,
    /// The signed metadata of the tree, which is a moment behind what it describes.
    pub trust: Arc<TrustFiles>,
    /// The documents that stay as they were signed, by path in lower case: see `held`.
    pub(super) held: HashMap<String, WrittenDocument>,
}

/// The valid tokens, and the keys that signed them.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) by_id: HashMap<Uuid, Arc<ApiToken>>,
    /// The keys, newest first.
    pub(super) keys: Vec<SigningKey>,
}

/// A channel and the documents of its folder.
pub struct ChannelOffer {
    pub channel: Channel,
    pub documents: Vec<WrittenDocument>,
}

/// A document at one moment.
#[derive(Debug, Clone)]
pub struct WrittenDocument {
    pub document: FolderDocument,
    pub content: Bytes,
    pub digest: Digest,
}

/// An image and what it offers in each channel, by the channel's key.
pub struct ImageOffer {
    pub image: OfferedImage,
    pub revoked: HashSet<i64>,
    pub(in crate::catalog) offers: HashMap<String, Arc<Offer>>,
    /// The channels that it was withdrawn from, and not promoted to since.
    pub(in crate::catalog) withdrawn: HashMap<String, Arc<Promotion>>,
    /// The revisions that single clients were given, by channel and client in lower case.
    pub(in crate::catalog) pins: HashMap<String, Pins>,
}

/// The pins of one channel, by the client's id in lower case.
pub type Pins = HashMap<String, OfferedRevision>;

/// The state of an image in a channel.
#[derive(Clone, Copy)]
pub enum Standing<'a> {
    Offered(&'a Offer),
    /// The image was withdrawn, by this entry of the history.
    Withdrawn(&'a Promotion),
    /// The image was never promoted there.
    Unknown,
}

/// The offer of an image in one channel.
pub struct Offer {
    pub promotion: Promotion,
    /// The assigned revision. It has no files while it is in quarantine.
    pub assigned: OfferedRevision,
    /// The assignment before, which is offered to clients that the rollout holds.
    pub before: Option<PreviousOffer>,
}

/// The newest earlier assignment that was complete, and neither rolled back nor withdrawn.
pub struct PreviousOffer {
    pub promotion: Promotion,
    pub revision: OfferedRevision,
}

/// A revision and its files in a channel's folder.
#[derive(Debug, Clone)]
pub struct OfferedRevision {
    pub number: i64,
    /// The files; empty while the revision is in quarantine.
    pub files: Arc<[OfferedPath]>,
}

impl OfferedRevision {
    /// Reports whether its bytes can be had.
    pub fn is_ready(&self) -> bool {
        !self.files.is_empty()
    }
}

impl Offer {
    /// Returns the revision of the assignment before, if its bytes can be had.
    pub fn previous(&self) -> Option<&OfferedRevision> {
        self.before.as_ref().map(|before| &before.revision).filter(|revision| revision.is_ready())
    }

    /// Reports whether the channel's folder stays at the assignment before.
    pub fn folder_waits(&self, channel: &Channel) -> bool {
        self.promotion.progress.under_way && !channel.tree_during_rollout
    }
}

/// A file of an offered revision, with its path below the tree's root.
#[derive(Debug, Clone)]
pub struct OfferedPath {
    pub role: FileRole,
    pub path: String,
    pub size: u64,
    pub digest: Digest,
    /// The chunk list, then the deltas by the revision that they start from.
    pub transfers: Arc<[OfferedTransfer]>,
}

/// A chunk list or a delta beside an offered file.
#[derive(Debug, Clone)]
pub struct OfferedTransfer {
    pub kind: TransferKind,
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

impl OfferedPath {
    /// Returns the chunk list.
    pub fn chunks(&self) -> Option<&OfferedTransfer> {
        self.transfers.iter().find(|transfer| transfer.kind == TransferKind::Chunks)
    }

    /// Returns the deltas, each with the revision that it starts from.
    pub fn deltas(&self) -> impl Iterator<Item = (i64, &OfferedTransfer)> {
        self.transfers.iter().filter_map(|transfer| match transfer.kind {
            TransferKind::Delta { from } => Some((from, transfer)),
            TransferKind::Chunks => None,
        })
    }
}

/// The object at a path of the tree.
#[derive(Clone)]
pub enum TreeEntry {
    File(Arc<TreeFile>),
    /// The former name of a file whose revision was revoked.
    Revoked(Arc<RevokedName>),
    Document(Arc<ChannelOffer>, WrittenDocument),
}

/// The details of a name that is no longer served.
#[derive(Debug)]
pub struct RevokedName {
    pub image: ImageName,
    pub revision: i64,
    pub read_access: ReadAccess,
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
    /// Its place in the offer; none for a file that stays for its grace alone.
    pub offered: Option<OfferedPlace>,
}

/// The place of a file that some client may be offered.
#[derive(Debug)]
pub struct OfferedPlace {
    /// The path below the tree's root.
    pub path: String,
    pub channel: ChannelName,
    pub revision: i64,
    pub role: FileRole,
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

    /// Returns the channel that is used if none is named.
    pub fn production(&self) -> Option<&Arc<ChannelOffer>> {
        self.channels.get(PRODUCTION)
    }

    pub fn channels(&self) -> impl Iterator<Item = &Arc<ChannelOffer>> {
        self.channels.values()
    }

    pub fn tree_entry(&self, path: &str) -> Option<&TreeEntry> {
        self.tree.get(path.to_ascii_lowercase().as_str())
    }

    /// Returns everything that has a name in the tree.
    pub fn tree_entries(&self) -> impl Iterator<Item = &TreeEntry> {
        self.tree.values()
    }

    /// Returns the paths of revisions' files that are offered or about to be removed, in lower case.
    pub fn tree_files(&self) -> impl Iterator<Item = &str> {
        let files = self.tree.iter().filter(|(_, entry)| matches!(entry, TreeEntry::File(_)));
        files.map(|(path, _)| &**path)
    }

    /// Returns the read access of the folder that a path of the tree is in, if a channel publishes there.
    pub fn read_access_of_folder(&self, path: &str) -> Option<ReadAccess> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut channels = self.channels.values().map(|offer| &offer.channel);
        channels
            .find(|channel| channel.folder.eq_ignore_ascii_case(folder))
            .map(|channel| channel.read_access)
    }

    /// Reports whether everyone may read something that the image offers, or offered before it was withdrawn. Then its
    /// name is not secret.
    pub fn is_shown_to_everyone(&self, image: &ImageOffer) -> bool {
        let keys = image.offers.keys().chain(image.withdrawn.keys());
        let mut channels = keys.filter_map(|key| self.channels.get(key));
        channels.any(|offer| offer.channel.read_access == ReadAccess::Everyone)
    }

    /// Returns the promotions in force.
    pub fn promotions(&self) -> impl Iterator<Item = &Promotion> {
        let offers = self.images.values().flat_map(|image| image.offers.values());
        offers.map(|offer| &offer.promotion)
    }

    /// Returns the promotions in force whose rollout may still change by itself or be completed.
    pub fn rollouts_under_way(
        &self,
    ) -> impl Iterator<Item = (&ImageName, &ChannelName, &Promotion)> {
        self.images.values().flat_map(move |image| {
            image.offers.iter().filter_map(move |(key, offer)| {
                let channel = &self.channels.get(key)?.channel.name;
                let promotion = &offer.promotion;
                promotion.progress.under_way.then_some((&image.image.name, channel, promotion))
            })
        })
    }

    pub fn account(&self, name: &AccountName) -> Option<&Arc<Account>> {
        self.accounts.get(&name.key())
    }

    /// Returns a token that was valid when this snapshot was loaded. It may have expired since.
    pub fn token(&self, id: Uuid) -> Option<&Arc<ApiToken>> {
        self.tokens.by_id.get(&id)
    }

    /// Returns the live token of this name, of which there is at most one.
    pub fn token_by_name(&self, name: &TokenName, now: DateTime<Utc>) -> Option<&Arc<ApiToken>> {
        let key = name.key();
        let mut tokens = self.tokens.by_id.values();
        tokens.find(|token| token.is_live(now) && token.name.key() == key)
    }

    /// Returns the keys whose tokens are valid, newest first.
    pub fn signing_keys(&self) -> &[SigningKey] {
        &self.tokens.keys
    }

    /// Returns the mappings of client certificates to users.
    pub fn certificate_mappings(&self) -> &CertificateMappings {
        &self.certificate_mappings
    }
}

impl ImageOffer {
    /// Returns an offer for an image of which nothing else is known yet.
    pub(in crate::catalog) fn blank(image: OfferedImage) -> Self {
        Self {
            image,
            revoked: HashSet::new(),
            offers: HashMap::new(),
            withdrawn: HashMap::new(),
            pins: HashMap::new(),
        }
    }

    pub fn offer(&self, channel: &ChannelName) -> Option<&Arc<Offer>> {
        self.offers.get(&channel.key())
    }

    /// Returns the pins of a channel, if it has any.
    pub fn pins(&self, channel: &ChannelName) -> Option<&Pins> {
        if self.pins.is_empty() { None } else { self.pins.get(&channel.key()) }
    }

    pub fn standing(&self, channel: &ChannelName) -> Standing<'_> {
        let key = channel.key();
        match (self.offers.get(&key), self.withdrawn.get(&key)) {
            (Some(offer), _) => Standing::Offered(offer),
            (None, Some(withdrawal)) => Standing::Withdrawn(withdrawal),
            (None, None) => Standing::Unknown,
        }
    }
}
