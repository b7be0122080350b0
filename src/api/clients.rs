//! `/clients`: the record of the client machines, as their update checks left it.

use actix_web::web::{Data, Path, Query};
use actix_web::{delete, get, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conventions::caller::Caller;
use super::conventions::conditional::{Resource, Unchanged};
use super::conventions::dry_run::{DryRun, execution};
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, InvalidQuery, Problem, ReadRefusals};
use super::conventions::sample;
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::{Administer, Read};
use crate::catalog::fleet::Forgotten;
use crate::catalog::update_check::{Action, Reason};
use crate::catalog::{ChangeContext, Execution, Precondition};
use crate::model::{
    ChannelName, ClientFilter, ClientId, ClientRecord, Digest, IdPattern, ImageName, RecordPlace,
    ReportStatus,
};

/// The last check of a client for an image in a channel, the answer to it, and the last report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientRecord, example = json!(Self::sample()))]
pub struct RecordBody {
    client: String,
    image: String,
    channel: String,
    /// The revision that the client had at its last check; 0 for none.
    revision: i64,
    /// The group that the client named; null if it named none.
    #[schema(required = true)]
    group: Option<String>,
    /// The answer to the last check; null if the client has only reported.
    #[schema(required = true, value_type = Option<Action>)]
    action: Option<String>,
    #[schema(required = true, value_type = Option<Reason>)]
    reason: Option<String>,
    /// The promotion whose revision the client was offered; null if it was offered nothing.
    #[schema(required = true)]
    promotion: Option<Uuid>,
    /// The address of the last check.
    address: String,
    /// The `User-Agent` of the last check.
    agent: String,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    /// The last report; null if there is none.
    #[schema(required = true)]
    status: Option<ReportStatus>,
    /// The revision that the last report is about.
    #[schema(required = true)]
    reported_revision: Option<i64>,
    #[schema(required = true)]
    reported_at: Option<DateTime<Utc>>,
    /// The error that the client reported.
    #[schema(required = true)]
    error: Option<String>,
}

impl RecordBody {
    fn sample() -> Self {
        Self {
            client: "PC-0815".to_owned(),
            image: sample::IMAGE.to_owned(),
            channel: "production".to_owned(),
            revision: 11,
            group: None,
            action: Some(Action::Update.as_str().to_owned()),
            reason: Some("newer_revision".to_owned()),
            promotion: Some(sample::ID),
            address: "192.0.2.17".to_owned(),
            agent: "imagedepot/0.1.0".to_owned(),
            first_seen: sample::time("2026-01-05T09:30:00Z"),
            last_seen: sample::time("2026-01-12T14:02:31Z"),
            status: None,
            reported_revision: None,
            reported_at: None,
            error: None,
        }
    }
}

impl From<ClientRecord> for RecordBody {
    fn from(record: ClientRecord) -> Self {
        Self {
            client: record.client.to_string(),
            image: record.image.to_string(),
            channel: record.channel,
            revision: record.revision,
            group: record.client_group,
            action: record.action,
            reason: record.reason,
            promotion: record.promotion_id,
            address: record.address,
            agent: record.agent,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            status: record.status,
            reported_revision: record.reported_revision,
            reported_at: record.reported_at,
            error: record.error,
        }
    }
}

/// A client, with what it asked of each image and channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client, example = json!(Self::sample()))]
pub struct ClientBody {
    client: String,
    /// The times of the first and the last check of any image that the caller may know of.
    #[schema(required = true)]
    first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    last_seen: Option<DateTime<Utc>>,
    items: Vec<RecordBody>,
}

impl ClientBody {
    fn sample() -> Self {
        Self::of(vec![RecordBody::sample()])
    }

    fn of(items: Vec<RecordBody>) -> Self {
        let newest = items.iter().max_by_key(|item| item.last_seen);
        Self {
            client: newest.map(|item| item.client.clone()).unwrap_or_default(),
            first_seen: items.iter().map(|item| item.first_seen).min(),
            last_seen: newest.map(|item| item.last_seen),
            items,
        }
    }

    /// Returns a tag that changes with every field.
    fn tag(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Digest::of(&text).as_bytes()[..16])
    }
}

/// The conditions of a list of clients. All that are given have to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ClientQuery {
    /// The image's name.
    #[param(value_type = Option<String>)]
    image: Option<ImageName>,
    /// The channel's name.
    #[param(value_type = Option<String>)]
    channel: Option<ChannelName>,
    /// The revision that clients had at their last check; 0 for none.
    #[param(minimum = 0)]
    revision: Option<i64>,
    /// The group that clients named.
    #[param(value_type = Option<String>)]
    group: Option<ClientId>,
    /// The last report.
    status: Option<ReportStatus>,
    /// Clients whose last check was before this time.
    seen_before: Option<DateTime<Utc>>,
    /// Clients whose last check was after this time.
    seen_after: Option<DateTime<Utc>>,
    /// The client's id, with `*` for any run of characters.
    #[param(value_type = Option<String>, example = "lab-*")]
    q: Option<IdPattern>,
}

impl ClientQuery {
    fn filter(&self, scope: &[String]) -> ClientFilter {
        ClientFilter {
            image: None,
            channel: None,
            revision: self.revision,
            group: self.group.as_ref().map(ClientId::key),
            status: self.status,
            seen_before: self.seen_before,
            seen_after: self.seen_after,
            seen_up_to_day: None,
            clients: self.q.clone(),
            scope: scope.to_vec(),
        }
    }
}

/// The query parameters of a deletion of clients.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// The ids of the clients, with `*` for any run of characters.
    #[param(value_type = String, example = "simulated-*")]
    q: IdPattern,
    /// Check everything and answer as if the change were made, but change nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

/// The clients that were deleted from the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedClients, example = json!(Self::sample()))]
pub struct DeletedBody {
    dry_run: bool,
    clients: u64,
    /// The number of entries, one for each client, image and channel.
    records: u64,
}

impl DeletedBody {
    fn sample() -> Self {
        Self { dry_run: false, clients: 2000, records: 2000 }
    }

    fn new(Forgotten { clients, records }: Forgotten, execution: Execution) -> Self {
        Self { dry_run: execution.is_dry_run(), clients, records }
    }
}

/// List clients
///
/// Returns what clients last asked of each image and channel, sorted by the clients' ids. A check is on record after a
/// few seconds. Checks without an id are not recorded.
#[utoipa::path(tag = "clients", operation_id = "list_clients", params(ClientQuery, PageQuery), responses(
    (status = 200, description = "A page of the record", body = Page<RecordBody>), InvalidQuery, ReadRefusals
))]
#[get("/clients")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    query: Query<ClientQuery>,
    page: Query<PageQuery>,
) -> Result<Page<RecordBody>, Problem> {
    if let Some(image) = &query.image {
        caller.may_know(image)?;
    }
    let filter = query.filter(caller.identity().images());
    let (image, channel) = (query.image.as_ref(), query.channel.as_ref());
    let after: Option<RecordPlace> = page.position()?;
    let rows = depot.catalog.client_records(filter, image, channel, after, page.fetch()?).await?;
    page.page(rows, |row| row.place.clone(), Into::into)
}

/// Show a client
///
/// Returns what the client last asked of each image and channel.
#[utoipa::path(tag = "clients", operation_id = "get_client",
    params(("client" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientBody), Unchanged, ReadRefusals)
)]
#[get("/clients/{client}")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    client: Path<ClientId>,
) -> Result<Resource<ClientBody>, Problem> {
    let rows = depot.catalog.records_of_client(&client, caller.identity().images()).await?;
    let client = ClientBody::of(rows.into_iter().map(Into::into).collect());
    Ok(Resource::tagged(client.tag(), client))
}

/// Delete a client from the record
///
/// The client is on record again after its next check.
#[utoipa::path(tag = "clients", operation_id = "delete_client",
    params(("client" = String, Path, description = "The client's id"), DryRun),
    responses((status = 200, description = "The number of deleted entries", body = DeletedBody), ChangeRefusals)
)]
#[delete("/clients/{client}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    client: Path<ClientId>,
    attempt: TriableChange,
) -> Result<web::Json<DeletedBody>, Problem> {
    caller.sees_all_images()?;
    let actor = caller.actor();
    let change = attempt.by(&actor);
    if *change.condition != Precondition::None {
        let rows = depot.catalog.records_of_client(&client, &[]).await?;
        let current = ClientBody::of(rows.into_iter().map(Into::into).collect());
        change.condition.check(Some(&current.tag()))?;
    }
    let forgotten = depot.catalog.delete_client(change, &client).await?;
    Ok(web::Json(DeletedBody::new(forgotten, attempt.execution)))
}

/// Delete clients from the record
///
/// Deletes every client whose id matches `q`, such as those of a simulation. Clients that go on asking are on record
/// again after their next check.
#[utoipa::path(tag = "clients", operation_id = "delete_clients", params(DeleteQuery), responses(
    (status = 200, description = "The number of deleted clients and entries", body = DeletedBody), ChangeRefusals
))]
#[delete("/clients")]
pub async fn delete_many(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    query: Query<DeleteQuery>,
) -> Result<web::Json<DeletedBody>, Problem> {
    caller.sees_all_images()?;
    let (actor, execution) = (caller.actor(), execution(query.dry_run));
    let change = ChangeContext { execution, ..ChangeContext::unconditional(&actor) };
    let forgotten = depot.catalog.delete_clients(change, &query.q).await?;
    Ok(web::Json(DeletedBody::new(forgotten, execution)))
}
