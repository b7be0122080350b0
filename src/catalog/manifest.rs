//! `channel.json`: what a channel's folder holds, for readers that have nothing but the tree.
//!
//! A pure function of the catalog's rows, so that every replica and the physical tree have the same
//! bytes. `sequence` and `issued` change with the channel; readers refuse a lower sequence than they
//! have seen, and a manifest past `expires`.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::snapshot::ImageOffer;
use super::{Catalog, Result};
use crate::model::{Channel, ChannelName, Digest, FileRole, ImageName, ReadAccess};
use crate::storage::Change;

pub const FILE_NAME: &str = "channel.json";

/// A manifest that nothing changed is issued anew when half of this has passed.
const LIFETIME: TimeDelta = TimeDelta::days(30);

#[derive(Serialize)]
struct Manifest<'a> {
    channel: &'a ChannelName,
    sequence: i64,
    issued: String,
    expires: String,
    /// Where not everyone may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<ReadAccess>,
    images: Vec<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    image: &'a ImageName,
    revision: i64,
    epoch: i64,
    promotion: Uuid,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mandatory: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<DateTime<Utc>>,
    /// Revisions that clients have to leave.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<i64>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    role: FileRole,
    /// Relative to the manifest.
    path: &'a str,
    size: u64,
    digest: String,
}

/// A manifest as it is read.
#[derive(Deserialize)]
pub(crate) struct ManifestDocument {
    pub(crate) channel: ChannelName,
    pub(crate) sequence: i64,
    pub(crate) issued: DateTime<Utc>,
    #[serde(default)]
    pub(crate) read: Option<ReadAccess>,
    pub(crate) images: Vec<ImageDocument>,
}

#[derive(Deserialize)]
pub(crate) struct ImageDocument {
    pub(crate) image: ImageName,
    pub(crate) revision: i64,
    pub(crate) epoch: i64,
    pub(crate) promotion: Uuid,
    #[serde(default)]
    pub(crate) mandatory: bool,
    #[serde(default)]
    pub(crate) deadline: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) revoked: Vec<i64>,
    pub(crate) files: Vec<FileDocument>,
}

#[derive(Deserialize)]
pub(crate) struct FileDocument {
    pub(crate) role: FileRole,
    pub(crate) path: String,
    pub(crate) digest: Digest,
}

/// The manifest's bytes, images in the order of their names.
pub(super) fn render<'a>(channel: &Channel, images: impl Iterator<Item = &'a ImageOffer>) -> Bytes {
    let mut images: Vec<_> = images.filter_map(|image| entry(image, channel)).collect();
    images.sort_by_key(|image| image.image.key());
    let manifest = Manifest {
        channel: &channel.name,
        sequence: channel.sequence,
        issued: rfc3339(channel.issued_at),
        expires: rfc3339(expiry(channel)),
        read: (channel.read_access != ReadAccess::Everyone).then_some(channel.read_access),
        images,
    };
    // Only maps with keys that are no text can fail to be written, and there are none.
    serde_json::to_vec_pretty(&manifest).unwrap_or_default().into()
}

fn entry<'a>(image: &'a ImageOffer, channel: &Channel) -> Option<Image<'a>> {
    // A revision in quarantine has no files to tell of.
    let offer = image.offer(&channel.name).filter(|offer| !offer.files.is_empty())?;
    let file_name = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let file = |file: &'a super::snapshot::OfferedPath| File {
        role: file.role,
        path: file_name(&file.path),
        size: file.size,
        digest: Digest::to_string(&file.digest),
    };
    let mut revoked: Vec<_> = image.revoked.iter().copied().collect();
    revoked.sort_unstable();
    Some(Image {
        image: &image.image.name,
        revision: offer.promotion.revision,
        epoch: offer.promotion.epoch,
        promotion: offer.promotion.id,
        mandatory: offer.promotion.mandatory,
        deadline: offer.promotion.deadline,
        revoked,
        files: offer.files.iter().map(file).collect(),
    })
}

/// When readers stop to believe a channel's manifest.
pub(crate) fn expiry(channel: &Channel) -> DateTime<Utc> {
    channel.issued_at + LIFETIME
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Catalog {
    /// Gives a new number and date to manifests that are past half of their life.
    pub(crate) async fn reissue_manifests(&self) -> Result<()> {
        let now = self.clock.now();
        let aged = |channel: &&Channel| channel.issued_at + LIFETIME / 2 < now;
        if self.db.read().await?.channels().await?.iter().filter(aged).count() == 0 {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        for channel in tx.channels().await?.iter().filter(aged) {
            tx.raise_channel_sequence(channel.id, now).await?;
        }
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }
}
