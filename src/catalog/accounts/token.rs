//! API tokens: the rights of their holders, their expiry, and the keys that sign them.
//!
//! The module `access` creates and parses the token itself; the row here decides. A token is independent: it is created
//! by an administrator but belongs to the depot, so it stays valid when that administrator is disabled or deleted.
//! Machines must not stop because a person has left. The creator is recorded, so that the tokens of a person can be
//! reviewed when that person's rights are removed.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::account::check_patterns;
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{ApiToken, Role, SigningKey, TokenFilter, TokenName};
use crate::storage::{Change, Purpose, SigningKeyRecord, TokenRecord, Tx};

/// The precision of the time of last use. A write for each request would be its most expensive part.
pub const USE_NOTED_EVERY: Duration = Duration::from_hours(1);

/// The time for which rows of void tokens are kept, so that people can look up what such a token was. The audit keeps
/// more.
const VOID_KEPT: TimeDelta = TimeDelta::days(90);

/// A new token.
pub struct TokenDefinition {
    pub name: TokenName,
    pub roles: Vec<Role>,
    pub images: Vec<String>,
    /// The time of expiry; none for the default lifetime of the settings.
    pub expires_at: Option<DateTime<Utc>>,
    /// The expiry of the creator, if that is a token: it cannot create a token that outlives it.
    pub maker_expires_at: Option<DateTime<Utc>>,
}

/// A new key pair, as created by the module `access`, in base64url without padding.
pub struct NewKey {
    /// The private key, in PKCS #8.
    pub private_key: SecretString,
    pub public_key: String,
}

/// A token's row, and the key to sign the token with.
pub struct Unsigned {
    pub token: ApiToken,
    pub key: SigningKey,
    pub private_key: SecretString,
}

/// The audit's record of a token.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a TokenName,
    roles: &'a [Role],
    images: &'a [String],
    signing_key: Uuid,
    expires_at: DateTime<Utc>,
    revoked: bool,
}

/// The handling of the keys before a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OlderKeys {
    /// Their tokens stay valid.
    #[default]
    Keep,
    /// Their tokens are revoked.
    Retire,
}

#[derive(Serialize)]
struct ShownKey {
    signing_key: Uuid,
    retired_older: bool,
    revoked_tokens: u64,
}

impl ApiToken {
    fn shown(&self) -> Shown<'_> {
        Shown {
            name: &self.name,
            roles: &self.roles,
            images: &self.images,
            signing_key: self.signing_key_id,
            expires_at: self.expires_at,
            revoked: self.revoked_at.is_some(),
        }
    }
}

impl Catalog {
    /// Creates a token's row. `spare` becomes the catalog's key if it has none yet.
    ///
    /// Only one live token may have a name, because uploads and repeated requests are bound to the name. A successor
    /// with the same name continues them.
    pub async fn create_token(
        &self,
        actor: &Actor,
        definition: TokenDefinition,
        spare: &NewKey,
    ) -> Result<Unsigned> {
        check_patterns(&definition.images)?;
        if definition.roles.is_empty() {
            return Err(Error::invalid("roles", "must contain at least one role"));
        }
        let now = self.clock.now();
        let mut expires_at = self.expiry(definition.expires_at, now)?;
        if let Some(end) = definition.maker_expires_at.filter(|end| *end < expires_at) {
            if definition.expires_at.is_some() {
                return Err(Error::invalid(
                    "expires_at",
                    format!("must not be after {end}, when the token that creates it expires"),
                ));
            }
            expires_at = end;
        }
        let mut tx = self.db.write().await?;
        // Of two concurrent requests, one sees the other's key and name.
        tx.lock_catalog_version().await?;
        if tx.live_token_by_key(&definition.name.key(), now).await?.is_some() {
            return Err(Error::NameTaken(definition.name.to_string()));
        }
        let key = match tx.key_that_signs().await? {
            Some(key) => key,
            None => self.insert_key(&mut tx, spare, None).await?,
        };
        let private_key = tx.private_key(key.id).await?;
        let id = self.ids.next();
        tx.insert_token(&TokenRecord {
            id,
            name: &definition.name,
            roles: &definition.roles,
            images: &definition.images,
            signing_key_id: key.id,
            created_by: &actor.name,
            now,
            expires_at,
        })
        .await?;
        let token = tx.token(id).await?.ok_or(Error::TokenNotFound)?;
        self.audit(&mut tx, entry("token.create", actor, id), NOTHING, Some(&token.shown()));
        self.conclude_tokens(tx).await?;
        Ok(Unsigned { token, key, private_key: private_key.into() })
    }

    /// Returns a token, even if it was revoked.
    pub async fn token(&self, id: Uuid) -> Result<ApiToken> {
        self.db.look().await?.token(id).await?.ok_or(Error::TokenNotFound)
    }

    /// Returns the tokens before `before`, newest first.
    pub async fn tokens(
        &self,
        before: Option<Uuid>,
        which: TokenFilter,
        limit: i64,
    ) -> Result<Vec<ApiToken>> {
        let mut tx = self.db.read().await?;
        Ok(tx.tokens_before(before.unwrap_or(Uuid::max()), which, limit).await?)
    }

    /// Revokes a token, here at once and on other replicas within a second.
    pub async fn revoke_token(
        &self,
        actor: &Actor,
        id: Uuid,
        condition: &Precondition,
    ) -> Result<ApiToken> {
        let mut tx = self.db.write_to_free().await?;
        tx.lock_catalog_version().await?;
        let before = known_token(&mut tx, id).await?;
        condition.check(Some(&before.tag()))?;
        let now = self.clock.now();
        tx.revoke_token(id, now).await?;
        let token = ApiToken { revoked_at: Some(now), ..before.clone() };
        let (old, new) = (before.shown(), token.shown());
        self.audit(&mut tx, entry("token.revoke", actor, id), Some(&old), Some(&new));
        self.conclude_tokens(tx).await?;
        Ok(token)
    }

    /// Signs with a new key from now on. Returns the key, and the number of the older keys' tokens that were revoked.
    pub async fn rotate_signing_key(
        &self,
        actor: &Actor,
        new: &NewKey,
        older: OlderKeys,
    ) -> Result<(SigningKey, u64)> {
        let purpose = match older {
            OlderKeys::Retire => Purpose::Freeing,
            OlderKeys::Keep => Purpose::Change,
        };
        let mut tx = self.db.write_for(purpose).await?;
        tx.lock_catalog_version().await?;
        let issuer = tx.key_that_signs().await?.map(|key| key.issuer);
        let key = self.insert_key(&mut tx, new, issuer).await?;
        tx.forget_private_keys_but(key.id).await?;
        let revoked_tokens = match older {
            OlderKeys::Retire => tx.retire_signing_keys_but(key.id, self.clock.now()).await?,
            OlderKeys::Keep => 0,
        };
        let retired_older = older == OlderKeys::Retire;
        let shown = ShownKey { signing_key: key.id, retired_older, revoked_tokens };
        let subject = format!("keys/{}", key.id);
        let entry = Entry { action: "signing_key.rotate", subject, actor };
        self.audit(&mut tx, entry, NOTHING, Some(&shown));
        self.conclude_tokens(tx).await?;
        Ok((key, revoked_tokens))
    }

    /// Records that a token was used, if no use was recorded within the last hour. Nobody waits for the record, and a
    /// failed one is made up for within an hour.
    pub fn note_token_use(&self, id: Uuid) {
        let catalog = self.clone();
        self.runtime.spawn(async move {
            if let Err(error) = catalog.try_note_token_use(id).await {
                tracing::debug!(%error, token.id = %id, "a token's use was not recorded");
            }
        });
    }

    async fn try_note_token_use(&self, id: Uuid) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        tx.note_token_use(id, now, now - USE_NOTED_EVERY).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn forget_void_tokens(&self) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        tx.forget_tokens_before(self.clock.now() - VOID_KEPT).await?;
        Ok(tx.commit().await?)
    }

    async fn insert_key(
        &self,
        tx: &mut Tx,
        new: &NewKey,
        issuer: Option<String>,
    ) -> Result<SigningKey> {
        let (id, created_at) = (self.ids.next(), self.clock.now());
        // Named after the catalog's first key, so that no other catalog has the same issuer.
        let issuer = issuer.unwrap_or_else(|| format!("urn:uuid:{id}"));
        tx.insert_signing_key(&SigningKeyRecord {
            id,
            issuer: &issuer,
            private_key: new.private_key.expose_secret(),
            public_key: &new.public_key,
            now: created_at,
        })
        .await?;
        let public_key = new.public_key.clone();
        Ok(SigningKey { id, issuer, public_key, created_at, retired_at: None })
    }

    /// Returns the expiry of a token that is created now, in whole seconds.
    fn expiry(&self, asked: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        let after = |lifetime| {
            let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
            now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        let expires_at =
            asked.unwrap_or_else(|| after(self.rules().token_lifetime)).trunc_subsecs(0);
        if expires_at <= now {
            return Err(Error::invalid("expires_at", "must be in the future"));
        }
        let longest = self.rules().longest_token_lifetime;
        if expires_at > after(longest) {
            let days = longest.as_secs() / 86_400;
            let reason =
                format!("must be at most {days} days from now (access.tokens.longest_lifetime)");
            return Err(Error::invalid("expires_at", reason));
        }
        Ok(expires_at)
    }

    /// Commits a change and refreshes the snapshot, which callers are authenticated from.
    async fn conclude_tokens(&self, mut tx: Tx) -> Result<()> {
        tx.raise_catalog_version(Change::Tokens).await?;
        tx.commit().await?;
        self.refresh().await;
        Ok(())
    }
}

fn entry<'a>(action: &'static str, actor: &'a Actor, id: Uuid) -> Entry<'a> {
    Entry { action, subject: format!("tokens/{id}"), actor }
}

async fn known_token(tx: &mut Tx, id: Uuid) -> Result<ApiToken> {
    let token = tx.token(id).await?.ok_or(Error::TokenNotFound)?;
    if token.revoked_at.is_some() { Err(Error::TokenRevoked) } else { Ok(token) }
}
