//! Users and their roles.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::name::AccountName;
use super::row::from_row;
use super::tag;

/// A set of rights. A user holds any number of roles. Every role includes the rights of `reader` and `client`, except
/// `client`, which has only its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the tree, checks for updates, reports for itself.
    Client,
    /// Reads images, channels, publications, metrics.
    Reader,
    /// Creates images, uploads, seals, deletes its own drafts; promotes in channels that name this role.
    Publisher,
    /// Promotes, rolls back, revokes.
    Promoter,
    /// May do everything.
    Admin,
}

/// A user, as stored in the catalog.
#[derive(Clone)]
pub struct Account {
    pub id: Uuid,
    pub name: AccountName,
    /// The Argon2id hash, as a PHC string.
    pub password_hash: String,
    pub roles: Vec<Role>,
    /// The patterns of the image names that the user is restricted to. `*` stands for any run of characters; no
    /// patterns mean all images.
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
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

/// Keeps the password hash out of logs.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
/// Deserializes a list of roles and drops duplicates.
pub fn each_role_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    let mut roles = Vec::new();
    for role in Vec::deserialize(deserializer)? {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Deserializes a list of roles that may be absent, and drops duplicates.
pub fn each_role_once_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Role>>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "each_role_once")] Vec<Role>);

    Ok(Option::<Given>::deserialize(deserializer)?.map(|Given(roles)| roles))
}
