//! Finds a signed file by its name: those in force in memory, older ones in the catalog.

use super::files::TrustFile;
use crate::catalog::{Catalog, Result};
use crate::trust::role::{FileName, RoleName};

impl Catalog {
    /// Returns a signed file, in force or older; none if it does not exist (any more).
    pub async fn trust_file(&self, name: FileName) -> Result<Option<TrustFile>> {
        let snapshot = self.snapshot().clone();
        let (role, version) = match name {
            FileName::Timestamp => (RoleName::Timestamp, None),
            FileName::Versioned(role, version) => (role, Some(version)),
        };
        let in_force = snapshot.trust.in_force(role);
        let newest = in_force.map_or(0, |file| file.version);
        match version {
            Some(version) if version < newest => {
                let row = self.db.read().await?.trust_file(&role.to_string(), version).await?;
                row.map(TrustFile::of).transpose()
            }
            Some(version) if version > newest => Ok(None),
            _ => Ok(in_force.map(|file| TrustFile::clone(file))),
        }
    }
}
