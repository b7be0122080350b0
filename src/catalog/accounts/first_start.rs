//! What a new catalog is given: the channels `test` and `production`, and an administrator.

use crate::catalog::channel::ChannelSettings;
use crate::catalog::{Actor, Catalog, Result};
use crate::model::channel::{PRODUCTION, TEST};
use crate::model::{AccountName, Role};
use crate::storage::{Change, NewAccount};

impl Catalog {
    /// Whether nobody can log in yet.
    pub async fn is_new(&self) -> Result<bool> {
        Ok(self.db.read().await?.count_accounts().await? == 0)
    }

    /// Fills a new catalog; says whether it was new. Of several replicas that start together one wins.
    pub async fn initialise(&self, admin: &AccountName, password_hash: &str) -> Result<bool> {
        let actor = Actor::system("first-start");
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        if tx.count_accounts().await? > 0 {
            return Ok(false);
        }
        tx.insert_account(&NewAccount {
            id: self.ids.next(),
            name: admin,
            password_hash,
            roles: &[Role::Admin],
            images: &[],
            now: self.clock.now(),
        })
        .await?;
        let test = ChannelSettings {
            promoters: Some(vec![Role::Publisher]),
            ..ChannelSettings::default()
        };
        for (name, settings) in [(TEST, test), (PRODUCTION, ChannelSettings::default())] {
            // A catalog that was rebuilt from its tree has them.
            if tx.channel_by_key(name).await?.is_none() {
                self.insert_channel(&mut tx, &actor, name.parse()?, settings).await?;
            }
        }
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        Ok(true)
    }
}
