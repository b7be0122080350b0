//! Passwords: hashed with Argon2id, verified off the async threads, remembered for a short while.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::{Argon2, PasswordVerifier as _};
use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::basic::Credentials;
use super::{Denied, Identity, WayIn};
use crate::catalog::Catalog;
use crate::model::Ids;

/// A script that calls once a second pays for Argon2 once in this time.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
const REMEMBERED_AT_MOST: u64 = 10_000;

/// Each check takes 19 MiB and tens of milliseconds of a core: more at once would starve downloads.
const CHECKS_AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a password was not taken.
#[derive(Debug, thiserror::Error)]
#[error("a password has 8 to 1,000 bytes")]
pub struct UnfitPassword;

/// Checks credentials against the accounts of the snapshot.
#[derive(Clone)]
pub struct Authenticator {
    catalog: Catalog,
    /// Keys are digests over a secret of this process, the stored hash and the password: nothing to
    /// be read from memory dumps, and void by itself when the password changes.
    remembered: Cache<[u8; 32], ()>,
    secret: Arc<str>,
    checks: Arc<Semaphore>,
    /// Checked for names that do not exist, so that their answer takes as long.
    decoy: Arc<str>,
}

impl Authenticator {
    pub fn new(catalog: Catalog, ids: Ids) -> Result<Self, UnfitPassword> {
        let secret = ids.password();
        Ok(Self {
            catalog,
            remembered: Cache::builder()
                .max_capacity(REMEMBERED_AT_MOST)
                .time_to_live(REMEMBERED_FOR)
                .build(),
            decoy: hash(&secret.clone().into())?.into(),
            secret: secret.into(),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        })
    }

    /// Finds out whose credentials these are.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Identity, Denied> {
        match self.check(credentials).await {
            // Another process may just have set the password: worth one look before refusing.
            Err(Denied::WrongCredentials) if self.catalog.has_news().await => {
                self.check(credentials).await
            }
            checked => checked,
        }
    }

    async fn check(
        &self,
        Credentials { name, password }: &Credentials,
    ) -> Result<Identity, Denied> {
        let account = name
            .parse()
            .ok()
            .and_then(|name| self.catalog.snapshot().account(&name).cloned())
            .filter(|account| !account.disabled);
        let stored = account.as_ref().map_or(&*self.decoy, |account| &account.password_hash);
        let key = self.memory_key(stored, password);
        if self.remembered.get(&key).await.is_none() {
            let matched = self.verify(stored.into(), password.clone()).await?;
            if !matched || account.is_none() {
                return Err(Denied::WrongCredentials);
            }
            self.remembered.insert(key, ()).await;
        }
        account.map(|account| Identity::user(account, WayIn::Basic)).ok_or(Denied::WrongCredentials)
    }

    fn memory_key(&self, stored: &str, password: &SecretString) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in [&*self.secret, stored, password.expose_secret()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    async fn verify(&self, stored: Arc<str>, password: SecretString) -> Result<bool, Denied> {
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.checks).acquire_owned()).await;
        let _permit = permit.map_err(|_| Denied::Busy)?.map_err(|_| Denied::Busy)?;
        let checked = tokio::task::spawn_blocking(move || {
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &*stored).is_ok()
        });
        checked.await.map_err(|_| Denied::Busy)
    }
}

/// Hashes a new password; takes tens of milliseconds.
pub fn hash(password: &SecretString) -> Result<String, UnfitPassword> {
    let password = password.expose_secret();
    if !(8..=1000).contains(&password.len()) {
        return Err(UnfitPassword);
    }
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| UnfitPassword)?;
    Ok(hash.to_string())
}

/// As [`hash`], off the async threads.
pub async fn hash_in_background(password: SecretString) -> Result<String, UnfitPassword> {
    tokio::task::spawn_blocking(move || hash(&password)).await.map_err(|_| UnfitPassword)?
}
