//! `/webhooks/{webhook}/deliveries`: what was sent to a webhook, and `/test`, which sends something now.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{get, post};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::permission::Administer;
use crate::api::conventions::caller::Caller;
use crate::api::conventions::page::{Page, PageQuery};
use crate::api::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use crate::api::conventions::sample;
use crate::api::depot::Depot;
use crate::catalog::Error;
use crate::catalog::webhooks::queue::Attempt;
use crate::delivery::sender::Message;
use crate::model::event::EventId;
use crate::model::{Delivery, DeliveryState};

/// An event for a webhook, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery, example = json!(Self::sample()))]
pub struct DeliveryBody {
    /// The event's id, which is also the `webhook-id` of each attempt.
    id: String,
    /// The type of the event.
    r#type: String,
    state: DeliveryState,
    /// The number of attempts so far.
    attempts: i64,
    /// The time of the next attempt; null if there is none.
    #[schema(required = true)]
    next_at: Option<DateTime<Utc>>,
    /// The time of the last attempt.
    #[schema(required = true)]
    last_at: Option<DateTime<Utc>>,
    /// The status that the receiver answered last.
    #[schema(required = true)]
    status: Option<i64>,
    /// The reason why the last attempt failed.
    #[schema(required = true)]
    error: Option<String>,
}

impl DeliveryBody {
    fn sample() -> Self {
        Self {
            id: sample::EVENT.to_owned(),
            r#type: "channel.promoted".to_owned(),
            state: DeliveryState::Waiting,
            attempts: 2,
            next_at: Some(sample::time("2026-01-05T10:00:35Z")),
            last_at: Some(sample::time("2026-01-05T10:00:05Z")),
            status: Some(503),
            error: Some("the receiver answered 503 Service Unavailable".to_owned()),
        }
    }
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        let waits = delivery.state == DeliveryState::Waiting;
        Self {
            id: delivery.event_id,
            r#type: delivery.kind,
            state: delivery.state,
            attempts: delivery.attempts,
            next_at: waits.then_some(delivery.next_at),
            last_at: delivery.last_at,
            status: delivery.last_status,
            error: delivery.last_error,
        }
    }
}

/// The outcome of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest, example = json!(Self::sample()))]
pub struct TestBody {
    /// The `webhook-id` of the test.
    id: String,
    delivered: bool,
    /// The status that the receiver answered; null if it did not answer.
    #[schema(required = true)]
    status: Option<u16>,
    /// The reason why the test failed.
    #[schema(required = true)]
    error: Option<String>,
}

impl TestBody {
    fn sample() -> Self {
        Self { id: format!("test-{}", sample::ID), delivered: true, status: Some(204), error: None }
    }

    fn of(id: String, Attempt { status, error }: Attempt) -> Self {
        Self { id, delivered: error.is_none(), status, error }
    }
}

/// List a webhook's deliveries
///
/// Returns what was sent or is to be sent to the webhook, newest event first. What has ended is kept for
/// `events.keep`.
#[utoipa::path(tag = "webhooks", operation_id = "list_deliveries",
    params(("webhook" = Uuid, Path, description = "The webhook's id"), PageQuery),
    responses((status = 200, description = "A page of deliveries", body = Page<DeliveryBody>), ReadRefusals)
)]
#[get("/webhooks/{webhook}/deliveries")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    page: Query<PageQuery>,
) -> Result<Page<DeliveryBody>, Problem> {
    caller.sees_all_images()?;
    let found = depot.catalog.deliveries(*id, page.position()?, page.fetch()?).await?;
    page.page(found, |delivery| delivery.position, Into::into)
}

/// Retry a delivery
///
/// Has an event sent again, with the same `webhook-id`: one that was set aside, that waits for its next attempt, or that
/// was delivered.
#[utoipa::path(tag = "webhooks", operation_id = "retry_delivery",
    params(("webhook" = Uuid, Path, description = "The webhook's id"),
           ("delivery" = String, Path, description = "The event's id")),
    responses((status = 200, description = "The delivery, which waits", body = DeliveryBody), ChangeRefusals)
)]
#[post("/webhooks/{webhook}/deliveries/{delivery}/retry")]
pub async fn retry(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    path: Path<(Uuid, String)>,
) -> Result<Json<DeliveryBody>, Problem> {
    caller.sees_all_images()?;
    let (webhook, event) = path.into_inner();
    let event: EventId = event.parse().map_err(|_| Error::DeliveryNotFound)?;
    let delivery = depot.catalog.retry_delivery(&caller.actor(), webhook, event).await?;
    Ok(Json(delivery.into()))
}

/// Test a webhook
///
/// Sends an event of the type `webhook.test` now, once, and answers with the outcome.
#[utoipa::path(tag = "webhooks", operation_id = "test_webhook",
    params(("webhook" = Uuid, Path, description = "The webhook's id")),
    responses((status = 200, description = "The outcome", body = TestBody), ChangeRefusals)
)]
#[post("/webhooks/{webhook}/test")]
pub async fn test(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    id: Path<Uuid>,
) -> Result<Json<TestBody>, Problem> {
    caller.sees_all_images()?;
    let actor = caller.actor();
    let webhook = depot.catalog.note_webhook_test(&actor, *id).await?;
    let message = depot.catalog.test_message_id();
    let body = json!({
        "id": message, "type": "webhook.test", "time": depot.now(), "actor": actor.name,
        "subject": format!("webhooks/{id}"), "data": {},
    });
    let sent = Message { id: &message, body: &body.to_string() };
    let attempt = depot.sender.send(&webhook, sent).await?;
    Ok(Json(TestBody::of(message, attempt)))
}
