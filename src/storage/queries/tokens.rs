//! API tokens and the keys that sign them.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{ApiToken, Role, SigningKey, TokenFilter, TokenName};
use crate::storage::{StorageError, Tx};

/// Lists the columns that an [`ApiToken`] is read from.
macro_rules! api_token_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, roles, images, signing_key_id, created_by, created_at, expires_at,
            revoked_at, last_used_at
        )
    };
}
#[cfg(test)]
pub(super) use api_token_columns;

/// The initial values of a new token.
pub struct TokenRecord<'a> {
    pub id: Uuid,
    pub name: &'a TokenName,
    pub roles: &'a [Role],
    pub images: &'a [String],
    pub signing_key_id: Uuid,
    pub created_by: &'a str,
    pub now: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// The initial values of a new key.
pub struct SigningKeyRecord<'a> {
    pub id: Uuid,
    pub issuer: &'a str,
    pub private_key: &'a str,
    pub public_key: &'a str,
    pub now: DateTime<Utc>,
}

impl Tx {
    pub async fn insert_token(&mut self, new: &TokenRecord<'_>) -> Result<(), StorageError> {
        insert!(self, "api_token", {
            id: new.id,
            name: new.name,
            name_key: new.name.key(),
            roles: Json(new.roles),
            images: Json(new.images),
            signing_key_id: new.signing_key_id,
            created_by: new.created_by,
            created_at: new.now,
            expires_at: new.expires_at,
        })?;
        Ok(())
    }

    /// Returns a token, even if it has expired or was revoked.
    pub async fn token(&mut self, id: Uuid) -> Result<Option<ApiToken>, StorageError> {
        optional!(
            self,
            concat!("select ", api_token_columns!(api_token), " from api_token where id = $1"),
            id
        )
    }

    /// Returns the valid token with the name. There may be many that are no longer valid.
    pub async fn live_token_by_key(
        &mut self,
        name_key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<ApiToken>, StorageError> {
        optional!(
            self,
            concat!(
                "select ",
                api_token_columns!(api_token),
                " from api_token where name_key = $1 and revoked_at is null and expires_at > $2 limit 1"
            ),
            name_key,
            now
        )
    }

    pub async fn live_tokens(&mut self, now: DateTime<Utc>) -> Result<Vec<ApiToken>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                api_token_columns!(api_token),
                " from api_token where revoked_at is null and expires_at > $1"
            ),
            now
        )
    }

    /// Lists tokens before `before`, newest first.
    pub async fn tokens_before(
        &mut self,
        before: Uuid,
        which: TokenFilter,
        limit: i64,
    ) -> Result<Vec<ApiToken>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                api_token_columns!(api_token),
                " from api_token where id < $1 and (revoked_at is null or $2) order by id desc limit $3"
            ),
            before,
            which == TokenFilter::All,
            limit
        )
    }

    pub async fn revoke_token(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StorageError> {
        execute!(
            self,
            "update api_token set revoked_at = $2 where id = $1 and revoked_at is null",
            id,
            now
        )?;
        Ok(())
    }

    /// Records a use, unless one was recorded since `since`.
    pub async fn note_token_use(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update api_token set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $3)",
            id,
            now,
            since
        )?;
        Ok(())
    }

    /// Forgets tokens that expired or were revoked before `since`.
    pub async fn forget_tokens_before(&mut self, since: DateTime<Utc>) -> Result<(), StorageError> {
        execute!(self, "delete from api_token where revoked_at < $1 or expires_at < $1", since)?;
        Ok(())
    }

    pub async fn insert_signing_key(
        &mut self,
        new: &SigningKeyRecord<'_>,
    ) -> Result<(), StorageError> {
        insert!(self, "signing_key", {
            id: new.id,
            issuer: new.issuer,
            private_key: new.private_key,
            public_key: new.public_key,
            created_at: new.now,
        })?;
        Ok(())
    }

    /// Lists the keys whose tokens are valid, newest first.
    pub async fn signing_keys(&mut self) -> Result<Vec<SigningKey>, StorageError> {
        all!(
            self,
            "select id, issuer, public_key, created_at, retired_at from signing_key \
             where retired_at is null order by id desc"
        )
    }

    /// Returns the key that signs, if there is one yet; no other has a private half. It is not found as the newest key,
    /// because ids from replicas whose clocks differ do not sort.
    pub async fn key_that_signs(&mut self) -> Result<Option<SigningKey>, StorageError> {
        optional!(
            self,
            "select id, issuer, public_key, created_at, retired_at from signing_key \
             where retired_at is null and private_key is not null"
        )
    }

    /// Returns the private half of a key.
    pub async fn private_key(&mut self, id: Uuid) -> Result<String, StorageError> {
        value!(self, "select private_key from signing_key where id = $1", id)
    }

    /// Deletes the private halves of all keys but one, so that those can no longer sign anything.
    pub async fn forget_private_keys_but(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(
            self,
            "update signing_key set private_key = null where id <> $1 and private_key is not null",
            id
        )?;
        Ok(())
    }

    /// Retires all keys but one, revokes their tokens, and returns how many tokens that were.
    pub async fn retire_signing_keys_but(
        &mut self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        execute!(
            self,
            "update signing_key set retired_at = $2 where id <> $1 and retired_at is null",
            id,
            now
        )?;
        execute!(
            self,
            "update api_token set revoked_at = $2 \
             where signing_key_id <> $1 and revoked_at is null and expires_at > $2",
            id,
            now
        )
    }
}
