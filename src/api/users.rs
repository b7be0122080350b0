//! `/users`: the users, who log in with a name and a password.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::password::{UnfitPassword, hash_in_background};
use crate::access::permission::Administer;
use crate::catalog::Error;
use crate::catalog::accounts::account::{AccountChange, AccountDefinition};
use crate::model::{Account, AccountName, Role, account};

/// A user. The password is never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User, example = json!(Self::sample()))]
pub struct UserBody {
    name: String,
    roles: Vec<Role>,
    /// Patterns of the images that the user is confined to; an empty list means all images.
    images: Vec<String>,
    disabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl UserBody {
    fn sample() -> Self {
        Self {
            name: "packer".to_owned(),
            roles: vec![Role::Publisher],
            images: vec!["win7-*".to_owned()],
            disabled: false,
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:30:00Z"),
        }
    }
}

impl From<Account> for UserBody {
    fn from(account: Account) -> Self {
        Self {
            name: account.name.to_string(),
            roles: account.roles,
            images: account.images,
            disabled: account.disabled,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserToCreate, example = json!({"name": "packer", "password": "correct horse battery", "roles": ["publisher"], "images": ["win7-*"]}))]
pub struct NewUser {
    #[schema(value_type = String, format = "user-name")]
    name: AccountName,
    /// The password, of 8 to 1,000 bytes. It must be neither the name nor a common password.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1000)]
    password: SecretString,
    #[serde(deserialize_with = "account::each_role_once")]
    roles: Vec<Role>,
    /// Patterns of image names, with `*`; all images if omitted.
    #[serde(default)]
    #[schema(max_items = 100)]
    images: Vec<String>,
}

/// The changes to a user; omitted fields stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"roles": ["publisher", "promoter"]}))]
pub struct ChangedUser {
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 8, max_length = 1000)]
    password: Option<SecretString>,
    #[serde(default, deserialize_with = "account::each_role_once_if_any")]
    roles: Option<Vec<Role>>,
    #[serde(default)]
    #[schema(max_items = 100)]
    images: Option<Vec<String>>,
    #[serde(default)]
    disabled: Option<bool>,
}

impl From<UnfitPassword> for Problem {
    fn from(unfit: UnfitPassword) -> Self {
        Error::invalid("password", unfit).into()
    }
}

/// List users
#[utoipa::path(tag = "access", operation_id = "list_users", description = "Returns the users, sorted by name.",
    params(PageQuery),
    responses((status = 200, description = "A page of users", body = Page<UserBody>), ReadRefusals)
)]
#[get("/users")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<UserBody>, Problem> {
    caller.sees_all_images()?;
    let after: Option<String> = page.position()?;
    let accounts = depot.catalog.accounts(&after.unwrap_or_default(), page.fetch()?).await?;
    page.page(accounts, |account| account.name.key(), Into::into)
}

/// Create a user
#[utoipa::path(tag = "access", operation_id = "create_user", request_body = NewUser,
    description = "Creates a user with a password, roles, and the images that the user is confined to.",
    responses((status = 201, description = "The user", body = UserBody), ChangeRefusals)
)]
#[post("/users")]
pub async fn create(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    new: JsonBody<NewUser>,
) -> Result<Resource<UserBody>, Problem> {
    caller.sees_all_images()?;
    let NewUser { name, password, roles, images } = new.read()?;
    let password_hash = hash_in_background(name.as_str(), password).await?;
    let definition = AccountDefinition { name, password_hash, roles, images };
    let account = depot.catalog.create_account(&caller.actor(), definition).await?;
    Ok(Resource::created(account.tag(), format!("/api/v1/users/{}", account.name), account.into()))
}

/// Show a user
#[utoipa::path(tag = "access", operation_id = "get_user",
    description = "Returns the user, with an `ETag` for conditional changes.",
    params(("name" = String, Path, description = "The user's name")),
    responses((status = 200, description = "The user", body = UserBody), Unchanged, ReadRefusals)
)]
#[get("/users/{name}")]
pub async fn show(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<AccountName>,
) -> Result<Resource<UserBody>, Problem> {
    caller.sees_all_images()?;
    let account = depot.catalog.account(&name).await?;
    Ok(Resource::tagged(account.tag(), account.into()))
}

/// Change a user
///
/// Changes the password, the roles, the images, or whether the user is disabled. Takes effect at once. The last
/// administrator cannot be disabled or lose the role.
#[utoipa::path(tag = "access", operation_id = "change_user", request_body = ChangedUser,
    params(("name" = String, Path, description = "The user's name")),
    responses((status = 200, description = "The changed user", body = UserBody), ChangeRefusals)
)]
#[patch("/users/{name}")]
pub async fn change(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<AccountName>,
    condition: Condition,
    changed: JsonBody<ChangedUser>,
) -> Result<Resource<UserBody>, Problem> {
    caller.sees_all_images()?;
    let ChangedUser { password, roles, images, disabled } = changed.read()?;
    let password_hash = match password {
        Some(password) => Some(hash_in_background(name.as_str(), password).await?),
        None => None,
    };
    let change = AccountChange { password_hash, roles, images, disabled };
    let account =
        depot.catalog.change_account(&caller.actor(), &name, change, &condition.0).await?;
    Ok(Resource::tagged(account.tag(), account.into()))
}

/// Delete a user
#[utoipa::path(tag = "access", operation_id = "delete_user",
    description = "Deletes the user. The last administrator cannot be deleted.",
    params(("name" = String, Path, description = "The user's name")),
    responses((status = 204, description = "The user is deleted"), ChangeRefusals)
)]
#[delete("/users/{name}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<AccountName>,
    condition: Condition,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    depot.catalog.delete_account(&caller.actor(), &name, &condition.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
