//! Checks names and passwords: slowed down after mistakes, off the async threads, and remembered for a short while.
//!
//! The order keeps attacks cheap for the server: first the [`Guard`] is asked, then the remembered log-ins, and only
//! then does Argon2 run. The remembered ones are second, because a correct guess would otherwise be found there at any
//! speed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::basic::Credentials;
use super::login_throttle::{Attempt, Guard, Limits};
use super::password::{self, UnfitPassword};
use super::{AuthenticationMethod, Denied, Identity};
use crate::catalog::Catalog;
use crate::model::{Account, Ids};

/// The time for which a log-in is remembered: a script that calls once a second pays for Argon2 once in this time.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
const REMEMBERED_AT_MOST: u64 = 10_000;

/// The number of checks at once. Each takes 19 MiB and tens of milliseconds of a core: more would starve downloads.
const CHECKS_AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks credentials against the accounts of the snapshot. Cheap to clone, shared by all workers.
#[derive(Clone)]
pub struct Authenticator {
    catalog: Catalog,
    guard: Guard,
    /// The log-ins that are remembered. The keys are digests over a secret of this process, the stored hash and the
    /// password: memory dumps reveal nothing, and an entry is void as soon as the password changes.
    remembered: Cache<[u8; 32], ()>,
    secret: Arc<str>,
    checks: Arc<Semaphore>,
    /// A hash that is checked for names that do not exist, so that their refusal takes as long.
    decoy: Arc<str>,
}

impl Authenticator {
    pub fn new(catalog: Catalog, ids: Ids, limits: Limits) -> Result<Self, UnfitPassword> {
        let secret = ids.password();
        Ok(Self {
            catalog,
            guard: Guard::new(limits),
            remembered: Cache::builder()
                .max_capacity(REMEMBERED_AT_MOST)
                .time_to_live(REMEMBERED_FOR)
                .build(),
            decoy: password::hash("", &secret.clone().into())?.into(),
            secret: secret.into(),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        })
    }

    /// Authenticates a caller by name and password.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<Identity, Denied> {
        let attempt = self.guard.attempt(&credentials.name, address);
        if let Some(wait) = self.guard.wait(attempt, Instant::now()) {
            return Err(Denied::Slowed { wait });
        }
        let account = self.account(&credentials.name);
        let checked = self.check(account.clone(), &credentials.password, attempt).await;
        // Another process may just have set the password, so the catalog is checked once before the refusal.
        if !matches!(checked, Err(Denied::WrongCredentials)) || !self.catalog.has_news().await {
            return checked;
        }
        let hash =
            |account: &Option<Arc<Account>>| account.as_ref().map(|a| a.password_hash.clone());
        let now = self.account(&credentials.name);
        if hash(&now) == hash(&account) {
            return checked;
        }
        self.check(now, &credentials.password, attempt).await
    }

    /// Returns the account that may log in under the name, if there is one.
    fn account(&self, name: &str) -> Option<Arc<Account>> {
        let name = name.parse().ok()?;
        self.catalog.snapshot().account(&name).filter(|account| !account.disabled).cloned()
    }

    async fn check(
        &self,
        account: Option<Arc<Account>>,
        password: &SecretString,
        attempt: Attempt,
    ) -> Result<Identity, Denied> {
        let stored: Arc<str> = account
            .as_ref()
            .map_or_else(|| self.decoy.clone(), |a| a.password_hash.as_str().into());
        let key = self.memory_key(&stored, password, attempt);
        if self.remembered.get(&key).await.is_some() {
            self.guard.let_in(attempt, Instant::now());
        } else {
            // The check goes on if its request ends before it: otherwise requests that are refused for another reason
            // would count as wrong passwords.
            let (authenticator, checked) = (self.clone(), account.clone());
            let password = password.clone();
            let checking = async move {
                let verified = authenticator.verify(checked, stored, &password, attempt);
                // Equal checks at the same time are one: a client that opens eight connections pays once.
                authenticator.remembered.try_get_with(key, verified).await
            };
            let checked = tokio::spawn(checking).await.map_err(|_| Denied::Busy)?;
            checked.map_err(|denied| *denied)?;
        }
        account
            .map(|account| Identity::user(account, AuthenticationMethod::Basic))
            .ok_or(Denied::WrongCredentials)
    }

    /// Returns the key of a remembered log-in. It contains the name, because all names that do not exist share the
    /// decoy's hash, and each guess at one of them has to count.
    fn memory_key(&self, stored: &str, password: &SecretString, attempt: Attempt) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in [&*self.secret, stored, password.expose_secret()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.update(attempt.account().to_be_bytes());
        hasher.finalize().into()
    }

    async fn verify(
        &self,
        account: Option<Arc<Account>>,
        stored: Arc<str>,
        password: &SecretString,
        attempt: Attempt,
    ) -> Result<(), Denied> {
        let check = self.guard.begin(attempt, Instant::now())?;
        let (given, hash) = (password.clone(), Arc::clone(&stored));
        let matched = match self.with_permit(move || password::verify(&given, &hash)).await {
            Ok(matched) => matched,
            Err(busy) => {
                check.unused();
                return Err(busy);
            }
        };
        let Some(account) = account.filter(|_| matched) else {
            check.failed(Instant::now());
            return Err(Denied::WrongCredentials);
        };
        check.succeeded(Instant::now());
        if password::is_outdated(&stored) {
            self.renew_in_background(account, password.clone());
        }
        Ok(())
    }

    /// Runs expensive work off the async threads, a few at once. The permit moves into the work, so that a client that
    /// disconnects does not free it before the work has ended.
    async fn with_permit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Denied> {
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.checks).acquire_owned()).await;
        let permit: OwnedSemaphorePermit =
            permit.map_err(|_| Denied::Busy)?.map_err(|_| Denied::Busy)?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Denied::Busy)
    }

    /// Replaces a hash that was made with less effort than today's. The log-in does not wait for it, and if it fails,
    /// the next log-in does it.
    fn renew_in_background(&self, account: Arc<Account>, password: SecretString) {
        let authenticator = self.clone();
        tokio::spawn(async move {
            let made = authenticator.with_permit(move || password::hash_again(&password)).await;
            let Ok(Some(hash)) = made else { return };
            match authenticator.catalog.renew_password_hash(&account, &hash).await {
                Ok(renewed) => {
                    tracing::info!(user = %account.name, renewed, "an outdated password hash was found");
                }
                Err(error) => {
                    tracing::warn!(user = %account.name, %error, "a password hash could not be renewed");
                }
            }
        });
    }
}
