//! The initial contents of a new catalog: the channels `test` and `production`, and an administrator.

use crate::catalog::channel::ChannelSettings;
use crate::catalog::{Actor, Catalog, Result};
use crate::model::channel::{PRODUCTION, TEST};
use crate::model::{AccountName, Role};
use crate::storage::{AccountRecord, Change, Tx};

impl Catalog {
    /// Reports whether the catalog has no users yet.
    pub async fn is_new(&self) -> Result<bool> {
        Ok(self.db.read().await?.count_accounts().await? == 0)
    }

    /// Fills a new catalog, and reports whether it was new. Of several replicas that start together, one does it.
    pub async fn initialise(&self, admin: &AccountName, password_hash: &str) -> Result<bool> {
        let actor = Actor::system("first-start");
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        if tx.count_accounts().await? > 0 {
            return Ok(false);
        }
        tx.insert_account(&AccountRecord {
            id: self.ids.next(),
            name: admin,
            password_hash,
            roles: &[Role::Admin],
            images: &[],
            now: self.clock.now(),
        })
        .await?;
        self.insert_first_channels(&mut tx, &actor).await?;
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Creates the channels of a new catalog that is filled before the first start. The first start then creates the
    /// administrator.
    pub async fn make_first_channels(&self) -> Result<()> {
        let actor = Actor::system("first-start");
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        self.insert_first_channels(&mut tx, &actor).await?;
        tx.raise_catalog_version(Change::Channels).await?;
        Ok(tx.commit().await?)
    }

    async fn insert_first_channels(&self, tx: &mut Tx, actor: &Actor) -> Result<()> {
        let test = ChannelSettings {
            promoters: Some(vec![Role::Publisher]),
            ..ChannelSettings::default()
        };
        for (name, settings) in [(TEST, test), (PRODUCTION, ChannelSettings::default())] {
            // A catalog that was rebuilt from its tree already has them.
            if tx.channel_by_key(name).await?.is_none() {
                self.insert_channel(tx, actor, name.parse()?, settings).await?;
            }
        }
        Ok(())
    }
}
