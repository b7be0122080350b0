//! The signed files in force, in memory, as a part of the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::signed_state::SignedState;
use crate::catalog::Result;
use crate::model::Digest;
use crate::storage::{StorageError, TrustRow, Tx};
use crate::trust::generation::Standing;
use crate::trust::metadata::RoleKeys;
use crate::trust::role::{FileName, RoleName};
use crate::trust::{Moment, metadata};

/// A signed file.
#[derive(Debug, Clone)]
pub struct TrustFile {
    pub role: RoleName,
    pub version: i64,
    pub content: Bytes,
    pub digest: Digest,
    pub expires_at: DateTime<Utc>,
    meaning: Digest,
}

/// The signed files in force.
#[derive(Debug, Clone, Default)]
pub struct TrustFiles {
    /// The version of the catalog from which the files were read; none before the first reading.
    read_in: Option<i64>,
    files: BTreeMap<RoleName, Arc<TrustFile>>,
    /// The state that is signed, if the targets' keys are elsewhere.
    elsewhere: Option<Arc<SignedState>>,
}

impl TrustFile {
    pub(in crate::catalog) fn of(row: TrustRow) -> Result<Self> {
        let role = row.trust_role.parse().map_err(|_| damaged(&row.trust_role))?;
        Ok(Self {
            role,
            version: row.version,
            content: row.content.into(),
            digest: row.digest,
            expires_at: row.expires_at,
            meaning: row.meaning,
        })
    }

    pub fn name(&self) -> FileName {
        self.role.file(self.version)
    }

    fn standing(&self) -> Standing {
        Standing {
            version: self.version,
            expires: moment(self.expires_at),
            meaning: self.meaning,
            length: self.content.len() as u64,
            digest: self.digest,
        }
    }
}

impl TrustFiles {
    /// Reads what has come since, or everything if nothing was read yet.
    pub(in crate::catalog) async fn after(&self, tx: &mut Tx, version: i64) -> Result<Self> {
        let mut files = self.files.clone();
        for row in tx.trust_files_after(self.read_in.unwrap_or(-1)).await? {
            let file = TrustFile::of(row)?;
            files.insert(file.role, Arc::new(file));
        }
        let mut read = Self { read_in: Some(version), files, elsewhere: None };
        read.elsewhere = read.signed_elsewhere(tx).await?.map(Arc::new);
        Ok(read)
    }

    async fn signed_elsewhere(&self, tx: &mut Tx) -> Result<Option<SignedState>> {
        let Some(root) = self.root()? else { return Ok(None) };
        let here = tx.trust_keys_here().await?;
        let here: BTreeSet<String> = here.into_iter().map(|(id,)| id).collect();
        let RoleKeys { keyids, threshold } = &root.roles.targets;
        let count = keyids.iter().filter(|id| here.contains(&id.to_string())).count();
        if usize::try_from(*threshold).is_ok_and(|threshold| count >= threshold) {
            return Ok(None);
        }
        let of_targets = self.files.values().filter(|file| matches!(file.role, RoleName::Bin(_)));
        let files = of_targets.map(|file| &*file.content);
        Ok(Some(SignedState::of(files, tx.trust_documents().await?)?))
    }

    /// Returns the state that is signed, if the targets' keys are elsewhere: then it stays as it is until a person signs
    /// a newer one.
    pub fn elsewhere(&self) -> Option<&Arc<SignedState>> {
        self.elsewhere.as_ref()
    }

    /// Reports whether a file has to stay because keys that are elsewhere have signed it.
    pub fn holds(&self, path: &str, digest: Digest) -> bool {
        self.elsewhere.as_ref().is_some_and(|signed| signed.names(path, digest))
    }

    /// Returns the version of the catalog from which the files were read.
    pub(in crate::catalog) const fn read_in(&self) -> Option<i64> {
        self.read_in
    }

    /// Returns the file of a role that is in force.
    pub fn in_force(&self, role: RoleName) -> Option<&Arc<TrustFile>> {
        self.files.get(&role)
    }

    /// Returns the files in force in the order of their roles.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustFile>> {
        self.files.values()
    }

    pub(super) fn standing(&self) -> BTreeMap<RoleName, Standing> {
        self.files.iter().map(|(role, file)| (*role, file.standing())).collect()
    }

    /// Returns the newest root as a value.
    pub(super) fn root(&self) -> Result<Option<metadata::Root>> {
        let Some(file) = self.files.get(&RoleName::Root) else { return Ok(None) };
        root_of(&file.content).map(Some)
    }
}

/// Reads a root that this depot has signed, or a person has checked.
pub(super) fn root_of(bytes: &[u8]) -> Result<metadata::Root> {
    let read = crate::trust::envelope::Envelope::read(bytes);
    let root = read.and_then(|envelope| envelope.content());
    Ok(root.map_err(|error| damaged(&error.to_string()))?)
}

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("the metadata of the tree cannot be read: {what}"))
}

pub(super) fn moment(time: DateTime<Utc>) -> Moment {
    Moment::from_seconds(u64::try_from(time.timestamp()).unwrap_or(0))
}

pub(super) fn time(moment: Moment) -> DateTime<Utc> {
    let seconds = i64::try_from(moment.seconds()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
