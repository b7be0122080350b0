//! Users and what they may.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::name::AccountName;
use super::row::from_row;
use super::tag;

/// What a user may do; a user holds any number of them. Each includes what `reader` and `client`
/// may, but for `client` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the tree, checks for updates, reports for itself.
    Client,
    /// Reads images, channels, publications, metrics.
    Reader,
    /// Makes images, uploads, seals, deletes own drafts; promotes where a channel names the role.
    Publisher,
    /// Promotes, rolls back, revokes.
    Promoter,
    /// Everything.
    Admin,
}

/// A user as the catalog knows it.
#[derive(Clone)]
pub struct Account {
    pub id: Uuid,
    pub name: AccountName,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    pub roles: Vec<Role>,
    /// Patterns of image names, with `*` for any run of characters; none is all images.
    pub images: Vec<String>,
    pub disabled: bool,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

from_row!(Account {
    id,
    name,
    password_hash,
    roles: json,
    images: json,
    disabled,
    version,
    created_at,
    updated_at,
});

impl Account {
    /// Another one after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

/// The hash stays out of logs.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
/// Roles as they are written; one that is written twice is one.
pub fn each_role_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    let mut roles = Vec::new();
    for role in Vec::deserialize(deserializer)? {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// The same where roles may be left out.
pub fn each_role_once_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Role>>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "each_role_once")] Vec<Role>);

    Ok(Option::<Given>::deserialize(deserializer)?.map(|Given(roles)| roles))
}
