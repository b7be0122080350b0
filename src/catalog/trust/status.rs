//! The state of the metadata for people: versions, expiries, keys.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::files::{TrustFiles, moment, time};
use super::refused::{Refused, nothing_signed};
use super::signer::Held;
use crate::catalog::Catalog;
use crate::trust::RoleName;
use crate::trust::carried::summary::TargetsSummary;
use crate::trust::generation::due;
use crate::trust::metadata::Root;

/// The state of the signed metadata.
#[derive(Debug, Serialize)]
pub struct TrustStatus {
    pub root_version: i64,
    pub roles: Vec<RoleStatus>,
    /// The files that wait to be signed with targets' keys that are elsewhere; null if none do.
    pub pending: Option<TargetsSummary>,
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
    /// The time from which the files are to be signed again.
    pub due_at: DateTime<Utc>,
    pub threshold: u32,
    pub keys: Vec<String>,
    /// The number of keys whose secret halves are in the catalog.
    pub keys_here: usize,
}

impl RoleStatus {
    /// Reports whether people have to sign for the role.
    pub fn is_elsewhere(&self) -> bool {
        usize::try_from(self.threshold).is_ok_and(|threshold| self.keys_here < threshold)
    }
}

impl Catalog {
    pub async fn trust_status(&self) -> Result<TrustStatus, Refused> {
        let held = Held::read(&mut self.db.read().await?).await?;
        self.try_refresh().await?;
        let snapshot = self.snapshot().clone();
        let files = &snapshot.trust;
        let (Some(root), Some(file)) = (files.root()?, files.in_force(RoleName::Root)) else {
            return Err(nothing_signed());
        };
        let roles = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
        let lives = self.rules().trust.lives();
        let shown = roles.into_iter().filter_map(|role| {
            let mut shown = shown(role, files, &root, &held)?;
            shown.due_at = time(due(moment(shown.expires), lives.of(role)));
            Some(shown)
        });
        let pending = match files.elsewhere() {
            None => None,
            Some(_) => match self.trust_pending().await {
                Ok(waiting) => waiting.summary().targets,
                Err(Refused::NothingToSign) => None,
                Err(refused) => return Err(refused),
            },
        };
        Ok(TrustStatus {
            root_version: file.version,
            roles: shown.collect(),
            pending,
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
        due_at: file.expires_at,
        threshold: keys.threshold,
        keys: keys.keyids.iter().map(ToString::to_string).collect(),
        keys_here: held.keys.iter().filter(|key| keys.keyids.contains(key.id())).count(),
    })
}
