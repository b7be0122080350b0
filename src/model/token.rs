//! API tokens for programs, and the keys that sign them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::account::Role;
use super::name::TokenName;
use super::row::from_row;

/// A token, as stored in the catalog: everything except the token itself, which is not stored anywhere.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// The token's `jti`.
    pub id: Uuid,
    pub name: TokenName,
    pub roles: Vec<Role>,
    /// The patterns of the image names that the token is restricted to. `*` stands for any run of characters; no
    /// patterns mean all images.
    pub images: Vec<String>,
    pub signing_key_id: Uuid,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The time of expiry in whole seconds, as in the token itself.
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// The time of the last use, accurate to the hour.
    pub last_used_at: Option<DateTime<Utc>>,
}

from_row!(ApiToken {
    id,
    name,
    roles: json,
    images: json,
    signing_key_id,
    created_by,
    created_at,
    expires_at,
    revoked_at,
    last_used_at,
});

/// The tokens that a list contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenFilter {
    /// Valid and expired ones.
    #[default]
    NotRevoked,
    All,
}

impl ApiToken {
    /// Returns the tag, which changes with everything that is shown of the token.
    pub fn tag(&self) -> String {
        let micros = |time: Option<DateTime<Utc>>| time.map_or(0, |time| time.timestamp_micros());
        format!("{}-{}", micros(self.revoked_at), micros(self.last_used_at))
    }

    /// Returns the name of the token's holder as a caller. Users' names have no colon, so no user has this name.
    pub fn caller_name(&self) -> String {
        format!("{CALLER_PREFIX}{}", self.name)
    }

    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// The prefix that distinguishes tokens from users in callers' names.
pub const CALLER_PREFIX: &str = "token:";

/// The public half of a key that signs tokens.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The id by which tokens name the key (`kid`).
    pub id: Uuid,
    /// The issuer that its tokens name (`iss`).
    pub issuer: String,
    /// Ed25519: 32 bytes in base64url without padding.
    pub public_key: String,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

from_row!(SigningKey { id, issuer, public_key, created_at, retired_at });
