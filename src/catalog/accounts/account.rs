//! Users: names, password hashes, roles, and the images that they are confined to.
//!
//! Passwords come in already hashed: how they are hashed and verified is the access room's.

use serde::Serialize;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{Account, AccountName, Role};
use crate::storage::{Change, NewAccount, Purpose, Tx};

/// A new user.
pub struct AccountDraft {
    pub name: AccountName,
    /// A PHC string.
    pub password_hash: String,
    pub roles: Vec<Role>,
    pub images: Vec<String>,
}

/// What changes; `None` leaves a field as it is.
#[derive(Default)]
pub struct AccountChange {
    pub password_hash: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub images: Option<Vec<String>>,
    pub disabled: Option<bool>,
}

impl AccountChange {
    /// Shutting somebody out goes on a full disk, too; not with a list of any length in the same breath.
    fn purpose(&self) -> Purpose {
        let shuts_out = self.disabled == Some(true) && self.images.is_none();
        if shuts_out { Purpose::Freeing } else { Purpose::Change }
    }
}

/// What the audit keeps: no hash.
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
    pub async fn create_account(&self, actor: &Actor, draft: AccountDraft) -> Result<Account> {
        check_patterns(&draft.images)?;
        let mut tx = self.db.write().await?;
        let new = NewAccount {
            id: self.ids.next(),
            name: &draft.name,
            password_hash: &draft.password_hash,
            roles: &draft.roles,
            images: &draft.images,
            now: self.clock.now(),
        };
        if tx.account_by_key(&draft.name.key()).await?.is_some() {
            return Err(Error::NameTaken(draft.name.to_string()));
        }
        tx.insert_account(&new).await.map_err(Error::name_taken(&draft.name))?;
        let account = known_account(&mut tx, &draft.name).await?;
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
        // What refuses certificates goes on to, whomever it was written for.
        if tx.forget_account_in_mappings(account.id).await? {
            tx.raise_catalog_version(Change::CertificateMappings).await?;
        }
        tx.delete_account(account.id).await?;
        // The next of this name is somebody else, to whom sessions of this one must not pass.
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

    /// Ends uploads of a user who is gone or shut out, and frees their room; what was reserved is given to others. Says which
    /// bytes have nobody now.
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

    /// Puts another hash of the same password in the place of the one that the account was read with; says
    /// whether that was still there. Nothing that the API shows changes, so neither does the tag.
    pub async fn renew_password_hash(&self, account: &Account, hash: &str) -> Result<bool> {
        let mut tx = self.db.write().await?;
        // Waits for whoever is just setting another password.
        tx.lock_catalog_version().await?;
        if !tx.replace_password_hash(account.id, &account.password_hash, hash).await? {
            return Ok(false);
        }
        let actor = Actor::system("log-in");
        self.audit(&mut tx, entry("user.renew_hash", &actor, account), NOTHING, NOTHING);
        self.conclude_account(tx).await?;
        Ok(true)
    }

    /// Log-ins are answered from the snapshot, so it has to follow.
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

pub(super) fn check_patterns(patterns: &[String]) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
    if patterns.len() <= 100
        && patterns.iter().all(|p| (1..=100).contains(&p.len()) && p.chars().all(plain))
    {
        Ok(())
    } else {
        Err(Error::invalid(
            "images",
            "at most 100 patterns of image names, in which * stands for any characters",
        ))
    }
}
