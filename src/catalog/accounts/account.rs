//! Users: names, password hashes, roles, and the images that they are confined to.
//!
//! Passwords arrive already hashed: the module `access` hashes and verifies them.

use serde::Serialize;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{Account, AccountName, Role};
use crate::storage::{AccountRecord, Change, Purpose, Tx};

/// A new user.
pub struct AccountDefinition {
    pub name: AccountName,
    /// The password hash, as a PHC string.
    pub password_hash: String,
    pub roles: Vec<Role>,
    pub images: Vec<String>,
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Default)]
pub struct AccountChange {
    pub password_hash: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub images: Option<Vec<String>>,
    pub disabled: Option<bool>,
}

impl AccountChange {
    /// Returns the purpose of the change. A user can be disabled on a full disk, too, but not together with a new list
    /// of images, which may be long.
    fn purpose(&self) -> Purpose {
        let shuts_out = self.disabled == Some(true) && self.images.is_none();
        if shuts_out { Purpose::Freeing } else { Purpose::Change }
    }
}

/// The audit's record of a user, without the password hash.
#[derive(Serialize)]
struct Shown<'a> {
    roles: &'a [Role],
    images: &'a [String],
    disabled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    password_changed: bool,
}

impl Account {
    fn shown(&self, password_changed: bool) -> Shown<'_> {
        Shown {
            roles: &self.roles,
            images: &self.images,
            disabled: self.disabled,
            password_changed,
        }
    }

    fn administers(&self) -> bool {
        !self.disabled && self.roles.contains(&Role::Admin) && self.images.is_empty()
    }
}

impl Catalog {
    pub async fn create_account(
        &self,
        actor: &Actor,
        definition: AccountDefinition,
    ) -> Result<Account> {
        check_patterns(&definition.images)?;
        let mut tx = self.db.write().await?;
        let new = AccountRecord {
            id: self.ids.next(),
            name: &definition.name,
            password_hash: &definition.password_hash,
            roles: &definition.roles,
            images: &definition.images,
            now: self.clock.now(),
        };
        if tx.account_by_key(&definition.name.key()).await?.is_some() {
            return Err(Error::NameTaken(definition.name.to_string()));
        }
        tx.insert_account(&new)
            .await
            .map_err(|error| Error::name_taken(&definition.name, error))?;
        let account = known_account(&mut tx, &definition.name).await?;
        self.audit(
            &mut tx,
            entry("user.create", actor, &account),
            NOTHING,
            Some(&account.shown(true)),
        );
        self.conclude_account(tx).await?;
        Ok(account)
    }

    pub async fn account(&self, name: &AccountName) -> Result<Account> {
        known_account(&mut self.db.read().await?, name).await
    }

    pub async fn accounts(&self, after: &str, limit: i64) -> Result<Vec<Account>> {
        Ok(self.db.read().await?.accounts_after(after, limit).await?)
    }

    pub async fn change_account(
        &self,
        actor: &Actor,
        name: &AccountName,
        change: AccountChange,
        condition: &Precondition,
    ) -> Result<Account> {
        let mut tx = self.db.write_for(change.purpose()).await?;
        tx.lock_catalog_version().await?;
        let before = known_account(&mut tx, name).await?;
        condition.check(Some(&before.tag()))?;
        let password_changed = change.password_hash.is_some();
        let account = Account {
            password_hash: change.password_hash.unwrap_or_else(|| before.password_hash.clone()),
            roles: change.roles.unwrap_or_else(|| before.roles.clone()),
            images: change.images.unwrap_or_else(|| before.images.clone()),
            disabled: change.disabled.unwrap_or(before.disabled),
            version: before.version + 1,
            updated_at: self.clock.now(),
            ..before.clone()
        };
        check_patterns(&account.images)?;
        if before.administers() && !account.administers() {
            check_another_administrator(&mut tx, &before).await?;
        }
        tx.update_account(&account).await?;
        let mut left_behind = Vec::new();
        if account.disabled && !before.disabled {
            left_behind = self.end_work_of(&mut tx, &account).await?;
        }
        let (old, new) = (before.shown(false), account.shown(password_changed));
        self.audit(&mut tx, entry("user.change", actor, &account), Some(&old), Some(&new));
        self.conclude_account(tx).await?;
        if !left_behind.is_empty() {
            self.remove_garbage_soon().await?;
        }
        Ok(account)
    }

    pub async fn delete_account(
        &self,
        actor: &Actor,
        name: &AccountName,
        condition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_catalog_version().await?;
        let account = known_account(&mut tx, name).await?;
        condition.check(Some(&account.tag()))?;
        if account.administers() {
            check_another_administrator(&mut tx, &account).await?;
        }
        let mappings = tx.mappings_of(account.id).await?;
        if !mappings.is_empty() {
            return Err(Error::AccountMapped { mappings });
        }
        // Mappings that refuse certificates stay in force, whichever user they were made for.
        if tx.forget_account_in_mappings(account.id).await? {
            tx.raise_catalog_version(Change::CertificateMappings).await?;
        }
        tx.delete_account(account.id).await?;
        // The next user of this name is another person, who must not get the sessions of this one.
        let left_behind = self.end_work_of(&mut tx, &account).await?;
        self.audit(
            &mut tx,
            entry("user.delete", actor, &account),
            Some(&account.shown(false)),
            NOTHING,
        );
        self.conclude_account(tx).await?;
        if left_behind.is_empty() { Ok(()) } else { self.remove_garbage_soon().await }
    }

    /// Ends the uploads, BITS sessions and remembered answers of a user who was deleted or disabled, and frees their
    /// disk space for others. Returns the blobs that have no owner any more.
    async fn end_work_of(&self, tx: &mut Tx, account: &Account) -> Result<Vec<Uuid>> {
        let name = account.name.as_str();
        let left_behind = tx.delete_open_uploads_by(name).await?;
        for blob in &left_behind {
            tx.discard_arriving(*blob, self.clock.now()).await?;
        }
        tx.delete_bits_sessions_by(name).await?;
        tx.forget_answers_of(name).await?;
        Ok(left_behind)
    }

    /// Replaces the password hash that the account was read with by another hash of the same password. Reports whether
    /// the old hash was still there. Nothing that the API shows changes, so the tag does not change either.
    pub async fn renew_password_hash(&self, account: &Account, hash: &str) -> Result<bool> {
        let mut tx = self.db.write().await?;
        // Waits for a change of the password that is in progress.
        tx.lock_catalog_version().await?;
        if !tx.replace_password_hash(account.id, &account.password_hash, hash).await? {
            return Ok(false);
        }
        let actor = Actor::system("log-in");
        self.audit(&mut tx, entry("user.renew_hash", &actor, account), NOTHING, NOTHING);
        self.conclude_account(tx).await?;
        Ok(true)
    }

    /// Commits a change and refreshes the snapshot, which log-ins are answered from.
    async fn conclude_account(&self, mut tx: Tx) -> Result<()> {
        tx.raise_catalog_version(Change::Accounts).await?;
        tx.commit().await?;
        self.refresh().await;
        Ok(())
    }
}

fn entry<'a>(action: &'static str, actor: &'a Actor, account: &Account) -> Entry<'a> {
    Entry { action, subject: format!("users/{}", account.name), actor }
}

async fn known_account(tx: &mut Tx, name: &AccountName) -> Result<Account> {
    tx.account_by_key(&name.key()).await?.ok_or(Error::AccountNotFound)
}

async fn check_another_administrator(tx: &mut Tx, but: &Account) -> Result<()> {
    let others = tx.accounts().await?;
    if others.iter().any(|account| account.id != but.id && account.administers()) {
        Ok(())
    } else {
        Err(Error::LastAdministrator)
    }
}

pub(in crate::catalog) fn check_patterns(patterns: &[String]) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
    if patterns.len() <= 100
        && patterns.iter().all(|p| (1..=100).contains(&p.len()) && p.chars().all(plain))
    {
        Ok(())
    } else {
        Err(Error::invalid(
            "images",
            "must be at most 100 patterns of image names, in which * stands for any characters",
        ))
    }
}
