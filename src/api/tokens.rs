//! `/tokens`: API tokens of programs; `/keys`: the public keys that verify them.

use actix_web::http::header;
use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::idempotency::ShownOnce;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::Administer;
use crate::access::token::{self, PublicKey};
use crate::catalog::Error;
use crate::catalog::accounts::token::TokenDefinition;
use crate::model::{ApiToken, Role, TokenFilter, TokenName, account};

/// An API token. The token itself is shown only once, when it is created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token, example = json!(Self::sample()))]
pub struct TokenBody {
    id: Uuid,
    name: String,
    roles: Vec<Role>,
    /// Patterns of the images that the token's holder is confined to; an empty list means all images.
    images: Vec<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    #[schema(required = true)]
    revoked_at: Option<DateTime<Utc>>,
    /// The time of the last use, to the hour.
    #[schema(required = true)]
    last_used_at: Option<DateTime<Utc>>,
    /// The `kid` of the key that signs the token.
    signing_key: Uuid,
}

impl TokenBody {
    fn sample() -> Self {
        Self {
            id: sample::ID,
            name: "packer".to_owned(),
            roles: vec![Role::Publisher],
            images: vec!["win7-*".to_owned()],
            created_by: sample::ADMIN.to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
            expires_at: sample::time("2026-04-05T09:30:00Z"),
            revoked_at: None,
            last_used_at: Some(sample::time("2026-01-06T22:00:00Z")),
            signing_key: sample::KEY_ID,
        }
    }
}

impl From<ApiToken> for TokenBody {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name.to_string(),
            roles: token.roles,
            images: token.images,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            last_used_at: token.last_used_at,
            signing_key: token.signing_key_id,
        }
    }
}

/// A new token, with the token itself.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeToken)]
pub struct MadeTokenBody {
    #[serde(flatten)]
    about: TokenBody,
    /// The token for `Authorization: Bearer`. It is never shown again.
    #[schema(
        example = "eyJ0eXAiOiJpbWFnZWRlcG90LXRva2VuK2p3dCIsImFsZyI6IkVkRFNBIn0.eyJzdWIiOiJ0b2tlbjpwYWNrZXIifQ.c2lnbmF0dXJl"
    )]
    token: String,
}

/// A new token, with the rights that it gives.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenToCreate, example = json!({"name": "packer", "roles": ["publisher"], "images": ["win7-*"]}))]
pub struct NewToken {
    /// The name of the program that will hold the token. Only one valid token at a time may have it.
    #[schema(value_type = String, format = "token-name")]
    name: TokenName,
    #[schema(min_items = 1)]
    #[serde(deserialize_with = "account::each_role_once")]
    roles: Vec<Role>,
    /// Patterns of image names, with `*`; all images if omitted.
    #[serde(default)]
    #[schema(max_items = 100)]
    images: Vec<String>,
    /// The time of expiry; if omitted, `access.tokens.lifetime` (90 days) from now.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// The query parameters of the list of tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// Return revoked tokens as well, which are kept for 90 days.
    #[serde(default)]
    #[param(default = false)]
    revoked: bool,
}

/// List API tokens
///
/// Returns valid and expired tokens, newest first, and on request also revoked ones.
#[utoipa::path(tag = "access", operation_id = "list_tokens", params(PageQuery, TokensQuery),
    responses((status = 200, description = "A page of tokens, without the tokens themselves", body = Page<TokenBody>), ReadRefusals)
)]
#[get("/tokens")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
    which: Query<TokensQuery>,
) -> Result<Page<TokenBody>, Problem> {
    let which = if which.revoked { TokenFilter::All } else { TokenFilter::NotRevoked };
    let from = |after, limit| depot.catalog.tokens(after, which, limit);
    let id = |token: &ApiToken| token.id;
    let covers = |token: &ApiToken| caller.identity().covers_all_of(&token.images);
    let tokens = page.visible(from, id, covers).await?;
    page.page(tokens, id, Into::into)
}

/// Create an API token
///
/// Creates a token for a program that calls the API with `Authorization: Bearer TOKEN`, or for
/// `imagedepot push --token-file`. The response shows the token only once: it is stored nowhere, not even for repeats
/// with an `Idempotency-Key`. A token stays valid when the user who created it is disabled or deleted. Callers who are
/// confined to some images can only create tokens for these images, and a token cannot create one that outlives it.
#[utoipa::path(tag = "access", operation_id = "create_token", request_body = NewToken,
    responses((status = 201, description = "The token", body = MadeTokenBody), ChangeRefusals)
)]
#[post("/tokens")]
pub async fn create(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    new: JsonBody<NewToken>,
) -> Result<HttpResponse, Problem> {
    let NewToken { name, roles, images, expires_at } = new.read()?;
    caller.may_give(&images)?;
    let maker_expires_at = caller.identity().api_token().map(|token| token.expires_at);
    let definition = TokenDefinition { name, roles, images, expires_at, maker_expires_at };
    let (token, text) = token::issue(&depot.catalog, &caller.actor(), definition).await?;
    let made = MadeTokenBody { about: token.into(), token: text.expose_secret().to_owned() };
    let mut response = HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/tokens/{}", made.about.id)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(made);
    response.extensions_mut().insert(ShownOnce);
    Ok(response)
}

/// Show an API token
#[utoipa::path(tag = "access", operation_id = "get_token",
    description = "Returns everything but the token itself, with an `ETag`.",
    params(("token" = Uuid, Path, description = "The token's id")),
    responses((status = 200, description = "The token", body = TokenBody), Unchanged, ReadRefusals)
)]
#[get("/tokens/{token}")]
pub async fn show(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
) -> Result<Resource<TokenBody>, Problem> {
    let token = known_token(&caller, &depot, *id).await?;
    Ok(Resource::tagged(token.tag(), token.into()))
}

/// Revoke an API token
///
/// Revokes the token at once, also on other replicas. Requests that its holder has already begun may finish.
#[utoipa::path(tag = "access", operation_id = "revoke_token",
    params(("token" = Uuid, Path, description = "The token's id")),
    responses((status = 204, description = "The token is revoked"), ChangeRefusals)
)]
#[delete("/tokens/{token}")]
pub async fn revoke(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    condition: Condition,
) -> Result<HttpResponse, Problem> {
    known_token(&caller, &depot, *id).await?;
    depot.catalog.revoke_token(&caller.actor(), *id, &condition.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Returns a token that was not revoked, if the caller may know of it, which means that it could have created it.
async fn known_token(
    caller: &Caller<Administer>,
    depot: &Depot,
    id: Uuid,
) -> Result<ApiToken, Problem> {
    let token = depot.catalog.token(id).await?;
    // This comes first, or else a revoked token would reveal its existence.
    if !caller.identity().covers_all_of(&token.images) {
        return Err(Error::TokenNotFound.into());
    }
    if token.revoked_at.is_some() { Err(Error::TokenRevoked.into()) } else { Ok(token) }
}

/// A set of public keys (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct KeySet {
    #[schema(value_type = Vec<std::collections::HashMap<String, String>>)]
    keys: Vec<PublicKey>,
}

impl KeySet {
    fn sample() -> Self {
        let key = PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            kid: sample::KEY_ID,
            alg: "EdDSA",
            purpose: "sig",
        };
        Self { keys: vec![key] }
    }
}

/// Show the server's public keys
///
/// Returns a JSON Web Key Set, with which others can verify what the server signs. Open to everyone.
#[utoipa::path(tag = "access", operation_id = "keys", security(()), responses(
    (status = 200, description = "The keys, newest first", body = KeySet), ReadRefusals
))]
#[get("/keys")]
pub async fn keys(depot: Data<Depot>) -> Json<KeySet> {
    let snapshot = depot.catalog.snapshot();
    Json(KeySet { keys: snapshot.signing_keys().iter().map(PublicKey::from).collect() })
}
