//! The number that every visible change raises, the subject of a change, and the notification of other processes.

use uuid::Uuid;

use super::statement::{all, execute, optional, value};
use crate::model::row::from_row;
use crate::storage::db::{CHANNEL, Either};
use crate::storage::{StorageError, Tx};

/// The subject of a change: the part of the catalog that has to be read again.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// One image, or what it offers in some channel. The caller holds the image's lock.
    Image(Uuid),
    /// Channels, which concern every image.
    Channels,
    /// Users, which are read again with every change: there are few.
    Accounts,
    /// Tokens or the keys that sign them.
    Tokens,
    /// Certificate mappings, of which there may be one for each machine of a fleet.
    CertificateMappings,
    /// The signed metadata of the tree.
    Trust,
}

/// The versions of the catalog and of its parts.
#[derive(Debug, Clone, Copy)]
pub struct CatalogState {
    pub version: i64,
    /// The version that last changed channels.
    pub channels_changed_in: i64,
    /// The version that last changed tokens or their keys.
    pub tokens_changed_in: i64,
    /// The version that last changed certificate mappings.
    pub mappings_changed_in: i64,
    /// The version that last changed the signed metadata of the tree.
    pub trust_changed_in: i64,
}

from_row!(CatalogState {
    version,
    channels_changed_in,
    tokens_changed_in,
    mappings_changed_in,
    trust_changed_in,
});

impl Tx {
    /// Raises the catalog's version, and returns it. To be called by every transaction that changes what the snapshot
    /// shows.
    pub async fn raise_catalog_version(&mut self, change: Change) -> Result<i64, StorageError> {
        let version: i64 = value!(
            self,
            "update catalog_state set version = version + 1 where id = 1 returning version"
        )?;
        match change {
            Change::Image(image) => {
                execute!(self, "update image set changed_in = $2 where id = $1", image, version)?;
            }
            Change::Channels => {
                execute!(
                    self,
                    "update catalog_state set channels_changed_in = $1 where id = 1",
                    version
                )?;
            }
            Change::Tokens => {
                execute!(
                    self,
                    "update catalog_state set tokens_changed_in = $1 where id = 1",
                    version
                )?;
            }
            Change::CertificateMappings => {
                execute!(
                    self,
                    "update catalog_state set mappings_changed_in = $1 where id = 1",
                    version
                )?;
            }
            Change::Trust => {
                execute!(
                    self,
                    "update catalog_state set trust_changed_in = $1 where id = 1",
                    version
                )?;
            }
            Change::Accounts => {}
        }
        if let Either::Postgres(tx) = &mut self.on {
            // PostgreSQL sends it with the commit, not before.
            tx.run(sqlx::query("select pg_notify($1, '')").bind(CHANNEL)).await?;
        }
        Ok(version)
    }

    /// Locks the catalog's version until the commit: others that lock or raise it have to wait. SQLite has only one
    /// writer anyway.
    ///
    /// The lock is taken after those of an image and of channels, never before: all changes lock in the order image,
    /// channels, version.
    pub async fn lock_catalog_version(&mut self) -> Result<(), StorageError> {
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select 1 from catalog_state where id = 1 for update")).await?;
        }
        Ok(())
    }

    pub async fn catalog_state(&mut self) -> Result<CatalogState, StorageError> {
        let state = optional!(
            self,
            "select version, channels_changed_in, tokens_changed_in, mappings_changed_in, trust_changed_in \
             from catalog_state where id = 1"
        )?;
        // The first migration inserts the one row, and nothing deletes it.
        state.ok_or_else(|| StorageError::Unusable("the catalog has lost its state".to_owned()))
    }

    /// Returns the identity of the catalog; none if it has not been set yet.
    pub async fn identity(&mut self) -> Result<Option<Uuid>, StorageError> {
        let found: Option<(Option<Uuid>,)> =
            optional!(self, "select identity from catalog_state where id = 1")?;
        Ok(found.and_then(|(identity,)| identity))
    }

    /// Returns the identity of the catalog, after setting it to `fresh` if it has not been set yet.
    pub async fn identity_or(&mut self, fresh: Uuid) -> Result<Uuid, StorageError> {
        value!(
            self,
            "update catalog_state set identity = coalesce(identity, $1) where id = 1 returning identity",
            fresh
        )
    }

    /// Reports whether the catalog is still empty.
    pub async fn is_blank(&mut self) -> Result<bool, StorageError> {
        let rows: i64 = value!(
            self,
            "select (select count(*) from image) + (select count(*) from account) + \
             (select count(*) from channel) + (select count(*) from blob)"
        )?;
        Ok(rows == 0)
    }

    /// Runs an update that changes no row, to test whether changes can be made.
    pub async fn change_nothing(&mut self) -> Result<(), StorageError> {
        execute!(self, "update catalog_state set id = id where id = 0")?;
        Ok(())
    }

    /// Returns the number of the newest migration that was applied.
    pub async fn schema_version(&mut self) -> Result<i64, StorageError> {
        value!(self, "select coalesce(max(version), 0) from _sqlx_migrations")
    }

    /// Lists the images that changed after `version`, including deleted ones.
    pub async fn images_changed_after(
        &mut self,
        version: i64,
    ) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(self, "select id from image where changed_in > $1", version)
    }
}
