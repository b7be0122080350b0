//! API tokens of programs, and the keys that sign them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::account::Role;
use super::name::TokenName;
use super::row::from_row;

/// A token as the catalog knows it: everything but the token itself, which is kept nowhere.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// The token's `jti`.
    pub id: Uuid,
    pub name: TokenName,
    pub roles: Vec<Role>,
    /// Patterns of image names, with `*` for any run of characters; none is all images.
    pub images: Vec<String>,
    pub signing_key_id: Uuid,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// In whole seconds, as the token itself has it.
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To the hour.
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

/// Which tokens a list has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenFilter {
    /// Living and expired ones.
    #[default]
    NotRevoked,
    All,
}

impl ApiToken {
    /// Changes with everything that is shown of it.
    pub fn tag(&self) -> String {
        let micros = |time: Option<DateTime<Utc>>| time.map_or(0, |time| time.timestamp_micros());
        format!("{}-{}", micros(self.revoked_at), micros(self.last_used_at))
    }

    /// How its holder is called as a caller: users' names have no colon, so this is nobody else.
    pub fn caller_name(&self) -> String {
        format!("{CALLER_PREFIX}{}", self.name)
    }

    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What tells tokens from users where callers are named.
pub const CALLER_PREFIX: &str = "token:";

/// The public half of a key that signs tokens.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// What tokens name it by (`kid`).
    pub id: Uuid,
    /// Whom its tokens say they are from (`iss`).
    pub issuer: String,
    /// Ed25519: 32 bytes in base64url without padding.
    pub public_key: String,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

from_row!(SigningKey { id, issuer, public_key, created_at, retired_at });
