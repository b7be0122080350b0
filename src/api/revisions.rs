//! `/images/{image}/revisions`: drafts and sealed revisions.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conventions::body::{JsonBody, LARGE};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::dry_run::DryRun;
use super::conventions::label_map::LabelMap;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::{Publish, Read, Revoke};
use crate::catalog::revision::end::IfAssigned;
use crate::catalog::revision::{RevisionChange, RevisionDetails};
use crate::model::replica::Reach;
use crate::model::{File, FileRole, ImageName, Labels, RevisionState};

/// A revision with its files.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision, example = json!(Self::sample()))]
pub struct RevisionBody {
    image: String,
    number: i64,
    state: RevisionState,
    notes: String,
    #[schema(value_type = LabelMap)]
    labels: Labels,
    /// True if the revision must not be deleted.
    protected: bool,
    files: Vec<FileBody>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[schema(required = true)]
    sealed_at: Option<DateTime<Utc>>,
    /// The number of servers that apply the revocation already; only in the response to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Reach>,
}

impl RevisionBody {
    fn sample() -> Self {
        let file =
            |role, size, bytes| FileBody { role, size, digest: sample::digest(bytes).to_string() };
        Self {
            image: sample::IMAGE.to_owned(),
            number: 12,
            state: RevisionState::Ready,
            notes: String::new(),
            labels: Labels::new(),
            protected: false,
            files: vec![
                file(FileRole::Ckm, 5_368_709_120, sample::CKM),
                file(FileRole::Index, 1_048_576, sample::INDEX),
            ],
            created_by: sample::ADMIN.to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:42:00Z"),
            sealed_at: Some(sample::time("2026-01-05T09:42:00Z")),
            replicas: None,
        }
    }
}

/// A file of a revision.
// Not only `File`, because a generated Python client has a `File` of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevisionFile)]
pub struct FileBody {
    role: FileRole,
    /// The size in bytes.
    size: u64,
    /// The SHA-256 digest: `sha256:` and 64 hexadecimal digits.
    digest: String,
}

impl From<&File> for FileBody {
    fn from(file: &File) -> Self {
        Self { role: file.role, size: file.size, digest: file.digest.to_string() }
    }
}

impl From<RevisionDetails> for RevisionBody {
    fn from(details: RevisionDetails) -> Self {
        let revision = details.revision;
        Self {
            image: details.image.name.to_string(),
            number: revision.number,
            state: revision.state,
            notes: revision.notes,
            labels: revision.labels,
            protected: revision.protected,
            files: details.files.iter().map(FileBody::from).collect(),
            created_by: revision.created_by,
            created_at: revision.created_at,
            updated_at: revision.updated_at,
            sealed_at: revision.sealed_at,
            replicas: None,
        }
    }
}

/// The notes, the labels and the protection of a revision; omitted fields stay as they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"notes": "January patches", "labels": {"build": "4711"}, "protected": true}))]
pub struct RevisionWords {
    #[serde(default)]
    #[schema(max_length = 100_000)]
    notes: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<LabelMap>)]
    labels: Option<Labels>,
    /// Protect the revision against deletion, until this is set to false.
    #[serde(default)]
    protected: Option<bool>,
}

impl From<RevisionWords> for RevisionChange {
    fn from(words: RevisionWords) -> Self {
        Self { notes: words.notes, labels: words.labels, protected: words.protected }
    }
}

/// The query parameters of a revocation.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RevokeQuery {
    /// Roll back the channels that the revision is assigned to; without this and without `withdraw` they make the call
    /// fail.
    #[serde(default)]
    #[param(default = false)]
    rollback: bool,
    /// Withdraw the image from the channels that the revision is assigned to, if `rollback` is not set or there is
    /// nothing to roll back to.
    #[serde(default)]
    #[param(default = false)]
    withdraw: bool,
}

impl RevokeQuery {
    fn if_assigned(&self) -> IfAssigned {
        match (self.rollback, self.withdraw) {
            (false, false) => IfAssigned::Refuse,
            (true, false) => IfAssigned::RollBack,
            (false, true) => IfAssigned::Withdraw,
            (true, true) => IfAssigned::RollBackOrWithdraw,
        }
    }
}

impl Resource<RevisionBody> {
    fn revision(details: RevisionDetails) -> Self {
        Self::tagged(details.revision.tag(), details.into())
    }
}

/// List revisions
///
/// Returns the image's revisions, newest first, without deleted ones.
#[utoipa::path(tag = "revisions", operation_id = "list_revisions",
    params(("image" = String, Path, description = "The image's name"), PageQuery),
    responses((status = 200, description = "A page of revisions", body = Page<RevisionBody>), ReadRefusals)
)]
#[get("/images/{image}/revisions")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    name: Path<ImageName>,
    page: Query<PageQuery>,
) -> Result<Page<RevisionBody>, Problem> {
    caller.may_know(&name)?;
    let before: Option<i64> = page.position()?;
    let revisions =
        depot.catalog.revisions(&name, before.unwrap_or(i64::MAX), page.fetch()?).await?;
    page.page(revisions, |details| details.revision.number, Into::into)
}

/// Create a draft
///
/// Creates the image's next revision as a draft, to which files are then uploaded. A draft that nobody changes is
/// deleted after 14 days (`uploads.expire_after`).
#[utoipa::path(tag = "revisions", operation_id = "create_revision", request_body = Option<RevisionWords>,
    params(("image" = String, Path, description = "The image's name")),
    responses((status = 201, description = "The draft", body = RevisionBody), ChangeRefusals)
)]
#[post("/images/{image}/revisions")]
pub async fn create(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    name: Path<ImageName>,
    words: JsonBody<RevisionWords, LARGE>,
) -> Result<Resource<RevisionBody>, Problem> {
    caller.may_know(&name)?;
    let draft = words.read_or_default()?.into();
    let details = depot.catalog.create_draft(&caller.actor(), &name, draft).await?;
    let location =
        format!("/api/v1/images/{}/revisions/{}", details.image.name, details.revision.number);
    Ok(Resource::created(details.revision.tag(), location, details.into()))
}

/// Show a revision
///
/// Returns the revision with its files. Answers 410 if it was deleted.
#[utoipa::path(tag = "revisions", operation_id = "get_revision",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number")),
    responses((status = 200, description = "The revision", body = RevisionBody), Unchanged, ReadRefusals)
)]
#[get("/images/{image}/revisions/{revision}")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
) -> Result<Resource<RevisionBody>, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    Ok(Resource::revision(depot.catalog.revision(&name, number).await?))
}

/// Change a revision
///
/// Changes the notes, the labels or the protection. The bytes of a sealed revision never change. Honours `If-Match`.
#[utoipa::path(tag = "revisions", operation_id = "change_revision", request_body = RevisionWords,
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number")),
    responses((status = 200, description = "The changed revision", body = RevisionBody), ChangeRefusals)
)]
#[patch("/images/{image}/revisions/{revision}")]
pub async fn change(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    condition: Condition,
    words: JsonBody<RevisionWords, LARGE>,
) -> Result<Resource<RevisionBody>, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    let (actor, words) = (caller.actor(), words.read()?.into());
    let changed = depot.catalog.change_revision(&actor, &name, number, words, &condition.0).await?;
    Ok(Resource::revision(changed))
}

/// Delete a revision
///
/// Refused while the revision is assigned to a channel or protected. Publishers may delete drafts of their own; other
/// revisions require an admin. The number is never used again.
#[utoipa::path(tag = "revisions", operation_id = "delete_revision",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), DryRun),
    responses((status = 204, description = "The revision is deleted"), ChangeRefusals)
)]
#[delete("/images/{image}/revisions/{revision}")]
pub async fn delete(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    attempt: TriableChange,
) -> Result<HttpResponse, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    depot.catalog.delete_revision(attempt.by(&caller.actor()), &name, number).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Seal a draft
///
/// Turns a complete draft into a `ready` revision: from then on its bytes never change, and it may be promoted. Answers
/// 409 and names the missing files if the draft is incomplete.
#[utoipa::path(tag = "revisions", operation_id = "seal_revision",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), DryRun),
    responses((status = 200, description = "The sealed revision", body = RevisionBody), ChangeRefusals)
)]
#[post("/images/{image}/revisions/{revision}/seal")]
pub async fn seal(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    attempt: TriableChange,
) -> Result<Resource<RevisionBody>, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    let sealed = depot.catalog.seal(attempt.by(&caller.actor()), &name, number).await?;
    Ok(Resource::revision(sealed))
}

/// Revoke a revision
///
/// The revision can no longer be assigned to a channel, clients that have it are told to change to another one, and its
/// files leave the tree at once: their HTTP names answer 410 `revision_revoked`. Refused while the revision is assigned
/// to a channel, unless `rollback=true` rolls back those channels in the same step, or `withdraw=true` withdraws the
/// image from them. The response is sent when every server applies the revocation, or after one second.
#[utoipa::path(tag = "revisions", operation_id = "revoke_revision",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), RevokeQuery, DryRun),
    responses((status = 200, description = "The revoked revision", body = RevisionBody), ChangeRefusals)
)]
#[post("/images/{image}/revisions/{revision}/revoke")]
pub async fn revoke(
    caller: Caller<Revoke>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    attempt: TriableChange,
    query: Query<RevokeQuery>,
) -> Result<Resource<RevisionBody>, Problem> {
    let (name, number) = path.into_inner();
    caller.may_know(&name)?;
    let actor = caller.actor();
    let context = attempt.by(&actor);
    let execution = context.execution;
    let revoked = depot.catalog.revoke(context, &name, number, query.if_assigned()).await?;
    let (tag, body) = (revoked.revision.tag(), RevisionBody::from(revoked));
    let replicas = depot.catalog.reach(execution).await;
    Ok(Resource::tagged(tag, RevisionBody { replicas, ..body }))
}
