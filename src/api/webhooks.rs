//! `/webhooks`: the receivers that events are sent to. `deliveries` has what was sent.

pub mod deliveries;

use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, HttpResponseBuilder, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
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
use crate::catalog::Error;
use crate::catalog::webhooks::{WebhookChange, WebhookDefinition};
use crate::model::webhook::WebhookSecret;
use crate::model::{EventTypes, Webhook, WebhookName};

/// A receiver of events.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Webhook, example = json!(Self::sample()))]
pub struct WebhookBody {
    id: Uuid,
    name: String,
    url: String,
    /// The types of events that it gets, such as `channel.*`; empty for all.
    types: Vec<String>,
    /// Patterns of the images whose events it gets; empty for all events, those without an image too.
    images: Vec<String>,
    /// False if nothing is sent.
    active: bool,
    /// The reason why the server has stopped sending; null if it has not.
    #[schema(required = true)]
    ended: Option<String>,
    /// The time until which the secret before the last rotation signs, too.
    #[schema(required = true)]
    old_secret_until: Option<DateTime<Utc>>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl WebhookBody {
    fn sample() -> Self {
        Self {
            id: sample::ID,
            name: "chat".to_owned(),
            url: "https://chat.example.com/hooks/depot".to_owned(),
            types: vec!["channel.*".to_owned()],
            images: Vec::new(),
            active: true,
            ended: None,
            old_secret_until: None,
            created_by: sample::ADMIN.to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:30:00Z"),
        }
    }
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            name: webhook.name.to_string(),
            url: webhook.url,
            types: webhook.types,
            images: webhook.images,
            active: webhook.active,
            ended: webhook.ended,
            old_secret_until: webhook.old_secret_until,
            created_by: webhook.created_by,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

/// A webhook with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookWithSecret, example = json!(Self::sample()))]
pub struct WebhookWithSecret {
    #[serde(flatten)]
    #[schema(inline)]
    webhook: WebhookBody,
    /// The secret that signs deliveries. It is not shown again.
    secret: String,
}

impl WebhookWithSecret {
    fn sample() -> Self {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        Self { webhook: WebhookBody::sample(), secret }
    }

    fn of((webhook, secret): (Webhook, WebhookSecret)) -> Self {
        Self { webhook: webhook.into(), secret: secret.reveal().to_owned() }
    }
}

/// A webhook to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookToCreate, example = json!({
    "name": "chat", "url": "https://chat.example.com/hooks/depot", "types": ["channel.*"]
}))]
pub struct NewWebhook {
    #[schema(value_type = String, format = "webhook-name")]
    name: WebhookName,
    /// The receiver: `https://`, or `http://` inside `webhooks.allow`.
    #[schema(max_length = 2000)]
    url: String,
    /// The types of events: words such as `image.created`, or whole nouns such as `channel.*`; all if empty.
    #[serde(default)]
    types: Vec<String>,
    /// Patterns of images; all events if empty.
    #[serde(default)]
    images: Vec<String>,
}

/// A change of a webhook. What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookUpdate, example = json!({"types": ["channel.*", "revision.*"], "active": true}))]
pub struct ChangedWebhook {
    #[schema(max_length = 2000)]
    url: Option<String>,
    types: Option<Vec<String>>,
    images: Option<Vec<String>>,
    /// False stops sending, true resumes it, also after a receiver has answered 410.
    active: Option<bool>,
}

fn read_url(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| Error::invalid("url", error))
}

fn read_types(words: &[String]) -> Result<EventTypes, Error> {
    if words.len() > 100 {
        return Err(Error::invalid("types", "must have at most 100 words"));
    }
    EventTypes::read(words.iter().map(String::as_str))
        .map_err(|error| Error::invalid("types", error))
}

/// List webhooks
///
/// Returns the receivers of events, sorted by name.
#[utoipa::path(tag = "webhooks", operation_id = "list_webhooks", params(PageQuery),
    responses((status = 200, description = "A page of webhooks", body = Page<WebhookBody>), ReadRefusals)
)]
#[get("/webhooks")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<WebhookBody>, Problem> {
    caller.sees_all_images()?;
    let after = page.position::<String>()?.unwrap_or_default();
    let found = depot.catalog.webhooks(&after, page.fetch()?).await?;
    page.page(found, |webhook| webhook.name.key(), Into::into)
}

/// Create a webhook
///
/// Names a receiver, to which events are sent from now on: each as a POST of the event's JSON, signed as Standard
/// Webhooks defines it, at least once. The answer contains the secret, which is not shown again.
#[utoipa::path(tag = "webhooks", operation_id = "create_webhook", request_body = NewWebhook,
    responses((status = 201, description = "The webhook with its secret", body = WebhookWithSecret), ChangeRefusals)
)]
#[post("/webhooks")]
pub async fn create(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    new: JsonBody<NewWebhook>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    let NewWebhook { name, url, types, images } = new.read()?;
    let (url, types) = (read_url(&url)?, read_types(&types)?);
    let definition = WebhookDefinition { name, url, types, images };
    let made = depot.catalog.create_webhook(&caller.actor(), definition).await?;
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, format!("/api/v1/webhooks/{}", made.0.id)));
    Ok(shown_once(response, made))
}

/// Show a webhook
#[utoipa::path(tag = "webhooks", operation_id = "get_webhook",
    description = "Returns the webhook without its secret.",
    params(("webhook" = Uuid, Path, description = "The webhook's id")),
    responses((status = 200, description = "The webhook", body = WebhookBody), Unchanged, ReadRefusals)
)]
#[get("/webhooks/{webhook}")]
pub async fn show(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
) -> Result<Resource<WebhookBody>, Problem> {
    caller.sees_all_images()?;
    let webhook = depot.catalog.webhook(*id).await?;
    Ok(Resource::tagged(webhook.tag(), webhook.into()))
}

/// Change a webhook
#[utoipa::path(tag = "webhooks", operation_id = "change_webhook", request_body = ChangedWebhook,
    description = "Changes the receiver's address or what is sent to it, or stops and resumes sending.",
    params(("webhook" = Uuid, Path, description = "The webhook's id")),
    responses((status = 200, description = "The changed webhook", body = WebhookBody), ChangeRefusals)
)]
#[patch("/webhooks/{webhook}")]
pub async fn change(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    condition: Condition,
    change: JsonBody<ChangedWebhook>,
) -> Result<Resource<WebhookBody>, Problem> {
    caller.sees_all_images()?;
    let ChangedWebhook { url, types, images, active } = change.read()?;
    let change = WebhookChange {
        url: url.as_deref().map(read_url).transpose()?,
        types: types.as_deref().map(read_types).transpose()?,
        images,
        active,
    };
    let actor = caller.actor();
    let webhook = depot.catalog.change_webhook(&actor, *id, &condition.0, change).await?;
    Ok(Resource::tagged(webhook.tag(), webhook.into()))
}

/// Delete a webhook
#[utoipa::path(tag = "webhooks", operation_id = "delete_webhook",
    description = "Deletes the webhook and what waits to be sent to it.",
    params(("webhook" = Uuid, Path, description = "The webhook's id")),
    responses((status = 204, description = "The webhook is deleted"), ChangeRefusals)
)]
#[delete("/webhooks/{webhook}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    condition: Condition,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    depot.catalog.delete_webhook(&caller.actor(), *id, &condition.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Rotate a webhook's secret
///
/// Gives the webhook another secret, which the answer contains. For a day, deliveries are signed with both, so that the
/// receiver can change over without losing any.
#[utoipa::path(tag = "webhooks", operation_id = "rotate_webhook_secret",
    params(("webhook" = Uuid, Path, description = "The webhook's id")),
    responses((status = 200, description = "The webhook with its new secret", body = WebhookWithSecret), ChangeRefusals)
)]
#[post("/webhooks/{webhook}/rotate")]
pub async fn rotate(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    caller.sees_all_images()?;
    let rotated = depot.catalog.rotate_webhook_secret(&caller.actor(), *id).await?;
    Ok(shown_once(HttpResponse::Ok(), rotated))
}

/// Answers with a secret, which no cache and no record of repeated requests keeps.
fn shown_once(mut response: HttpResponseBuilder, made: (Webhook, WebhookSecret)) -> HttpResponse {
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    let mut response = response.json(WebhookWithSecret::of(made));
    response.extensions_mut().insert(ShownOnce);
    response
}
