//! `/whoami`: the identity of the caller.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::problem::ReadRefusals;
use crate::access::AuthenticationMethod;
use crate::access::permission::BeKnown;
use crate::model::Role;

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct WhoAmI {
    /// The name of a user, `token:NAME`, or `oidc:NAME` for a caller of the outside issuer.
    name: String,
    roles: Vec<Role>,
    /// Patterns of the images that the caller is confined to; an empty list means all images.
    images: Vec<String>,
    /// The authentication method that the caller used.
    way_in: AuthenticationMethod,
    /// The id of the API token that the caller used, if it is one of this server.
    #[schema(required = true)]
    token: Option<Uuid>,
    /// The time at which that token expires.
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
}

impl WhoAmI {
    fn sample() -> Self {
        Self {
            name: "packer".to_owned(),
            roles: vec![Role::Publisher],
            images: vec!["win7-*".to_owned()],
            way_in: AuthenticationMethod::Basic,
            token: None,
            expires_at: None,
        }
    }
}

/// Show the caller
///
/// Returns the name, the roles and the images that belong to the credentials of the request.
#[utoipa::path(tag = "access", operation_id = "whoami", responses(
    (status = 200, description = "The caller", body = WhoAmI), ReadRefusals
))]
#[get("/whoami")]
pub async fn show(caller: Caller<BeKnown>) -> web::Json<WhoAmI> {
    let identity = caller.identity();
    web::Json(WhoAmI {
        name: identity.name().to_owned(),
        roles: identity.roles().to_vec(),
        images: identity.images().to_vec(),
        way_in: identity.way(),
        token: identity.api_token().map(|token| token.id),
        expires_at: identity.api_token().map(|token| token.expires_at),
    })
}
