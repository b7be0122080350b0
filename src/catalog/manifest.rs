//! The manifest, `channel.json`: the contents of a channel's folder, for readers that have nothing but the tree.
//!
//! `sequence` and `issued` change with the channel. Readers refuse a lower sequence than they have seen, and a manifest
//! past `expires`. The contents come from the snapshot (`snapshot/documents.rs`).

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::{Catalog, Result};
use crate::model::promotion::ManifestTerms;
use crate::model::revision::number;
use crate::model::{
    Channel, ChannelName, ClientTerms, Digest, FileRole, ImageName, ReadAccess, Rollout,
};
use crate::storage::Change;

/// The lifetime of a manifest. A manifest that nothing has changed is reissued when half of it has passed.
const LIFETIME: TimeDelta = TimeDelta::days(30);

/// The manifest, as it is written, and as it is read by programs that have nothing but the tree.
#[derive(Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) channel: ChannelName,
    #[serde(deserialize_with = "number")]
    pub(crate) sequence: i64,
    #[serde(serialize_with = "in_seconds")]
    pub(crate) issued: DateTime<Utc>,
    #[serde(serialize_with = "in_seconds")]
    pub(super) expires: DateTime<Utc>,
    /// The read access, if not everyone may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<ReadAccess>,
    pub(crate) images: Vec<Image>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) image: ImageName,
    #[serde(deserialize_with = "number")]
    pub(crate) revision: i64,
    #[serde(deserialize_with = "number")]
    pub(crate) epoch: i64,
    pub(crate) promotion: Uuid,
    #[serde(flatten, with = "ManifestTerms")]
    pub(crate) terms: ClientTerms,
    /// The rollout under way, if the folder holds both revisions during it. It always has a `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<Rollout>,
    /// The revision for clients that the rollout holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Previous>,
    /// The revoked revisions, which clients have to leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) revoked: Vec<i64>,
    pub(crate) files: Vec<File>,
}

/// The assignment before the one that is rolled out.
#[derive(Serialize, Deserialize)]
pub(crate) struct Previous {
    #[serde(deserialize_with = "number")]
    pub(crate) revision: i64,
    pub(crate) files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) role: FileRole,
    /// The path relative to the manifest.
    pub(crate) path: String,
    pub(super) size: u64,
    pub(crate) digest: Digest,
    /// The chunk list, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunks: Option<Extra>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deltas: Vec<Delta>,
}

/// A file beside another one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Extra {
    /// The path relative to the manifest.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// A delta, and the revision that it starts from.
#[derive(Serialize, Deserialize)]
pub(crate) struct Delta {
    #[serde(deserialize_with = "number")]
    pub(crate) from: i64,
    #[serde(flatten)]
    pub(crate) file: Extra,
}

impl Manifest {
    pub(super) fn to_bytes(&self) -> Bytes {
        // Only maps whose keys are not text can fail to be written, and there are none.
        serde_json::to_vec_pretty(self).unwrap_or_default().into()
    }
}

/// Returns the time at which readers stop accepting a channel's manifest.
pub(crate) fn expiry(channel: &Channel) -> DateTime<Utc> {
    channel.issued_at + LIFETIME
}

fn in_seconds<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl Catalog {
    /// Gives a new sequence number and date to manifests that are past half of their lifetime.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest as earlier versions wrote it, byte by byte: readers keep digests of it.
    const WRITTEN: &str = r#"{
  "channel": "production",
  "sequence": 7,
  "issued": "2026-01-05T10:00:00Z",
  "expires": "2026-02-04T10:00:00Z",
  "read": "authenticated",
  "images": [
    {
      "image": "win7-office",
      "revision": 12,
      "epoch": 17,
      "promotion": "0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6e",
      "mandatory": true,
      "deadline": "2026-01-06T00:00:00.500Z",
      "revoked": [
        3
      ],
      "files": [
        {
          "role": "ckm",
          "path": "win7-office_12.ckm",
          "size": 5,
          "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        }
      ]
    },
    {
      "image": "xp",
      "revision": 1,
      "epoch": 1,
      "promotion": "0198f2a4-c3d4-7e0b-9d3a-6f1e2b4c5d6f",
      "files": []
    }
  ]
}"#;

    #[test]
    fn a_manifest_is_written_as_it_is_read() {
        let manifest: Manifest = serde_json::from_str(WRITTEN).unwrap();
        assert!(manifest.images[0].terms.mandatory && !manifest.images[1].terms.mandatory);
        assert_eq!(serde_json::to_string_pretty(&manifest).unwrap(), WRITTEN);
    }
}
