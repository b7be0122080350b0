//! `/whoami`: whom the server takes the caller for.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::problem::ReadRefusals;
use crate::access::WayIn;
use crate::access::permission::BeKnown;
use crate::model::Role;

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(Self::sample()))]
pub struct WhoAmI {
    /// A user's name, `token:NAME`, or `oidc:NAME` for a caller of the outside issuer.
    name: String,
    roles: Vec<Role>,
    /// Patterns of the images that the caller is confined to; none is all images.
    images: Vec<String>,
    /// How the caller proved who it is.
    way_in: WayIn,
    /// The API token by which the caller came, if it is one of this server.
    #[schema(required = true)]
    token: Option<Uuid>,
    /// When that token expires.
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
}

impl WhoAmI {
    fn sample() -> Self {
        Self {
            name: "packer".to_owned(),
            roles: vec![Role::Publisher],
            images: vec!["win7-*".to_owned()],
            way_in: WayIn::Basic,
            token: None,
            expires_at: None,
        }
    }
}

/// Show the caller
///
/// Name, roles and images of whoever the credentials belong to.
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
