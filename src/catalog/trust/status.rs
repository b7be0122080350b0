//! The state of the metadata for people: versions, expiries, keys.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::files::TrustFiles;
use super::signer::Held;
use crate::catalog::{Catalog, Error, Result};
use crate::storage::StorageError;
use crate::trust::RoleName;
use crate::trust::metadata::Root;

/// The state of the signed metadata.
#[derive(Debug, Serialize)]
pub struct TrustStatus {
    pub root_version: i64,
    pub roles: Vec<RoleStatus>,
    #[serde(skip)]
    pub root_file: Bytes,
}

/// The state of a role.
#[derive(Debug, Serialize)]
pub struct RoleStatus {
    pub role: String,
    pub version: i64,
    /// The earliest expiry of the role's files.
    pub expires: DateTime<Utc>,
    pub threshold: u32,
    pub keys: Vec<String>,
    /// The number of keys whose secret halves are in the catalog.
    pub keys_here: usize,
}

impl Catalog {
    pub async fn trust_status(&self) -> Result<TrustStatus> {
        let held = Held::read(&mut self.db.read().await?).await?;
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let files = &snapshot.trust;
        let (Some(root), Some(file)) = (files.root()?, files.in_force(RoleName::Root)) else {
            let detail = "nothing is signed yet: a server signs when it has started";
            return Err(Error::from(StorageError::Unusable(detail.to_owned())));
        };
        let roles = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
        let shown = roles.into_iter().filter_map(|role| shown(role, files, &root, &held));
        Ok(TrustStatus {
            root_version: file.version,
            roles: shown.collect(),
            root_file: file.content.clone(),
        })
    }
}

fn shown(role: RoleName, files: &TrustFiles, root: &Root, held: &Held) -> Option<RoleStatus> {
    let file = files.in_force(role)?;
    let keys = root.keys_of(role);
    let is_of_role = |other: RoleName| {
        other == role || (role == RoleName::Targets && matches!(other, RoleName::Bin(_)))
    };
    let of_role = files.iter().filter(|file| is_of_role(file.role));
    Some(RoleStatus {
        role: role.to_string(),
        version: file.version,
        expires: of_role.map(|file| file.expires_at).min().unwrap_or(file.expires_at),
        threshold: keys.threshold,
        keys: keys.keyids.iter().map(ToString::to_string).collect(),
        keys_here: held.keys.iter().filter(|key| keys.keyids.contains(key.id())).count(),
    })
}
