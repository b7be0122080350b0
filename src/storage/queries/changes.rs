//! The number that every visible change raises, what the change was about, and how other processes
//! hear of it.

use uuid::Uuid;

use super::statement::{all, execute, optional, value};
use crate::model::row::from_row;
use crate::storage::db::{CHANNEL, Either};
use crate::storage::{StorageError, Tx};

/// What a change was about: as much as has to be read again.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// One image, or what it offers in some channel. The caller holds the image's lock.
    Image(Uuid),
    /// Channels: they concern every image.
    Channels,
    /// Users, which are read again with every change: there are few.
    Accounts,
    /// Tokens or the keys that sign them.
    Tokens,
    /// Certificate mappings, of which there may be one for each machine of a fleet.
    CertificateMappings,
}

/// How far the catalog has come.
#[derive(Debug, Clone, Copy)]
pub struct CatalogState {
    pub version: i64,
    /// The version that last changed channels.
    pub channels_changed_in: i64,
    /// The version that last changed tokens or their keys.
    pub tokens_changed_in: i64,
    /// The version that last changed certificate mappings.
    pub mappings_changed_in: i64,
}

from_row!(CatalogState { version, channels_changed_in, tokens_changed_in, mappings_changed_in });

impl Tx {
    /// To be called by every transaction that changes what the snapshot shows.
    pub async fn raise_catalog_version(&mut self, change: Change) -> Result<(), StorageError> {
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
            Change::Accounts => {}
        }
        if let Either::Postgres(tx) = &mut self.on {
            // Sent by the commit, not before.
            tx.run(sqlx::query("select pg_notify($1, '')").bind(CHANNEL)).await?;
        }
        Ok(())
    }

    /// Keeps everybody else out who takes this lock or raises the version, until the commit. SQLite's
    /// writer is alone as it is.
    ///
    /// Taken after the locks of an image and of channels, never before them: the order in which all
    /// changes lock is image, channels, this.
    pub async fn lock_catalog_version(&mut self) -> Result<(), StorageError> {
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select 1 from catalog_state where id = 1 for update")).await?;
        }
        Ok(())
    }

    pub async fn catalog_state(&mut self) -> Result<CatalogState, StorageError> {
        let state = optional!(
            self,
            "select version, channels_changed_in, tokens_changed_in, mappings_changed_in from catalog_state \
             where id = 1"
        )?;
        // The first migration puts the one row there, and nothing takes it away.
        state.ok_or_else(|| StorageError::Unusable("the catalog has lost its state".to_owned()))
    }

    /// Which catalog this is; none before somebody has said so.
    pub async fn identity(&mut self) -> Result<Option<Uuid>, StorageError> {
        let found: Option<(Option<Uuid>,)> =
            optional!(self, "select identity from catalog_state where id = 1")?;
        Ok(found.and_then(|(identity,)| identity))
    }

    /// Which catalog this is: `fresh` if nobody has said so yet.
    pub async fn identity_or(&mut self, fresh: Uuid) -> Result<Uuid, StorageError> {
        value!(
            self,
            "update catalog_state set identity = coalesce(identity, $1) where id = 1 returning identity",
            fresh
        )
    }

    /// Whether nobody has put anything into the catalog yet.
    pub async fn is_blank(&mut self) -> Result<bool, StorageError> {
        let rows: i64 = value!(
            self,
            "select (select count(*) from image) + (select count(*) from account) + \
             (select count(*) from channel) + (select count(*) from blob)"
        )?;
        Ok(rows == 0)
    }

    /// A change of no row, for who asks whether changes can be made.
    pub async fn change_nothing(&mut self) -> Result<(), StorageError> {
        execute!(self, "update catalog_state set id = id where id = 0")?;
        Ok(())
    }

    /// The newest migration that was applied.
    pub async fn schema_version(&mut self) -> Result<i64, StorageError> {
        value!(self, "select coalesce(max(version), 0) from _sqlx_migrations")
    }

    /// The images that changed after `version`, deleted ones too.
    pub async fn images_changed_after(
        &mut self,
        version: i64,
    ) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(self, "select id from image where changed_in > $1", version)
    }
}
