//! `/images/{image}/channels/{channel}/pins`: the revisions that single clients were given.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conventions::body::JsonBody;
use super::conventions::caller::Caller;
use super::conventions::conditional::{Resource, Unchanged};
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::{Promote, Read};
use crate::model::{ChannelName, ClientId, ImageName, Pin};

/// A client's own revision in a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pin, example = json!(Self::sample()))]
pub struct PinBody {
    client: String,
    revision: i64,
    note: String,
    by: String,
    at: DateTime<Utc>,
}

impl PinBody {
    fn sample() -> Self {
        Self {
            client: "PC-0815".to_owned(),
            revision: 11,
            note: "needs the old printer driver".to_owned(),
            by: sample::ADMIN.to_owned(),
            at: sample::time("2026-01-05T10:00:00Z"),
        }
    }
}

impl From<Pin> for PinBody {
    fn from(pin: Pin) -> Self {
        Self {
            client: pin.client.to_string(),
            revision: pin.revision,
            note: pin.note,
            by: pin.created_by,
            at: pin.created_at,
        }
    }
}

/// A pin to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PinToCreate, example = json!({"revision": 11, "note": "needs the old printer driver"}))]
pub struct NewPin {
    /// The revision, which must be ready.
    #[schema(minimum = 1)]
    revision: i64,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    note: Option<String>,
}

/// List pins
///
/// Returns the clients that have a revision of their own in the channel, sorted by id.
#[utoipa::path(tag = "promotion", operation_id = "list_pins",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"), PageQuery),
    responses((status = 200, description = "A page of pins", body = Page<PinBody>), ReadRefusals)
)]
#[get("/images/{image}/channels/{channel}/pins")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName)>,
    page: Query<PageQuery>,
) -> Result<Page<PinBody>, Problem> {
    let (image, channel) = path.into_inner();
    caller.may_know(&image)?;
    let after = page.position::<String>()?.unwrap_or_default();
    let pins = depot.catalog.pins(&image, &channel, &after, page.fetch()?).await?;
    page.page(pins, |pin| pin.client.key(), Into::into)
}

/// Show a pin
#[utoipa::path(tag = "promotion", operation_id = "get_pin",
    description = "Returns the revision that the client was given in the channel.",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"),
           ("client" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The pin", body = PinBody), Unchanged, ReadRefusals)
)]
#[get("/images/{image}/channels/{channel}/pins/{client}")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName, ClientId)>,
) -> Result<Resource<PinBody>, Problem> {
    let (image, channel, client) = path.into_inner();
    caller.may_know(&image)?;
    let pin = depot.catalog.pin_of(&image, &channel, &client).await?;
    Ok(Resource::tagged(pin.tag(), pin.into()))
}

/// Pin a client
///
/// Gives the client a revision of its own in the channel: update checks offer it this revision, whatever is assigned
/// there. The pin counts only while the revision is ready. A second pin of the client replaces the first.
#[utoipa::path(tag = "promotion", operation_id = "pin", request_body = NewPin,
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"),
           ("client" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The pin, which replaced another", body = PinBody),
        (status = 201, description = "The new pin", body = PinBody), ChangeRefusals)
)]
#[put("/images/{image}/channels/{channel}/pins/{client}")]
pub async fn put(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName, ClientId)>,
    new: JsonBody<NewPin>,
) -> Result<HttpResponse, Problem> {
    let (image, channel, client) = path.into_inner();
    caller.may_know(&image)?;
    let NewPin { revision, note } = new.read()?;
    let pin = (revision, note.unwrap_or_default());
    let (pin, is_new) =
        depot.catalog.pin(&caller.actor(), (&image, &channel), &client, pin).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(PinBody::from(pin)))
}

/// Unpin a client
#[utoipa::path(tag = "promotion", operation_id = "unpin",
    description = "Removes the client's pin: the client follows the channel again.",
    params(("image" = String, Path, description = "The image's name"),
           ("channel" = String, Path, description = "The channel's name"),
           ("client" = String, Path, description = "The client's id")),
    responses((status = 204, description = "The pin is removed"), ChangeRefusals)
)]
#[delete("/images/{image}/channels/{channel}/pins/{client}")]
pub async fn delete(
    caller: Caller<Promote>,
    depot: Data<Depot>,
    path: Path<(ImageName, ChannelName, ClientId)>,
) -> Result<HttpResponse, Problem> {
    let (image, channel, client) = path.into_inner();
    caller.may_know(&image)?;
    depot.catalog.unpin(&caller.actor(), (&image, &channel), &client).await?;
    Ok(HttpResponse::NoContent().finish())
}
