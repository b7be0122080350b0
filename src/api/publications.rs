//! `/publications`: the intended and the actual state of the tree.

use actix_web::web::{Data, Query};
use actix_web::{get, post, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::conventions::caller::Caller;
use super::conventions::dry_run::DryRun;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use crate::access::permission::{Administer, Read};
use crate::catalog::Execution;
use crate::catalog::publication::plan::Plan;
use crate::model::{FileRole, PublicationState};
use crate::storage::ListedPublication;

/// A file that imagedepot put into the tree.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Publication, example = json!(Self::sample()))]
pub struct PublicationBody {
    /// The path below the tree's root.
    path: String,
    role: FileRole,
    digest: String,
    state: PublicationState,
    /// The time from which a withdrawn file may be removed.
    #[schema(required = true)]
    withdraw_at: Option<DateTime<Utc>>,
    /// The bytes that a delta saves each client that uses it instead of the missing chunks. Not set for other files.
    #[serde(skip_serializing_if = "Option::is_none")]
    saves: Option<i64>,
}

impl PublicationBody {
    fn sample() -> Self {
        Self {
            path: "win7-office_12.ckm".to_owned(),
            role: FileRole::Ckm,
            digest: sample::digest(sample::CKM).to_string(),
            state: PublicationState::Published,
            withdraw_at: None,
            saves: None,
        }
    }
}

impl From<ListedPublication> for PublicationBody {
    fn from(ListedPublication { publication, saves }: ListedPublication) -> Self {
        Self {
            path: publication.path,
            role: publication.role,
            digest: publication.digest.to_string(),
            state: publication.state,
            withdraw_at: publication.withdraw_at,
            saves,
        }
    }
}

/// The steps that were taken, or would be taken, to make the tree match the catalog.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan, example = json!(Self::sample()))]
pub struct PlanBody {
    dry_run: bool,
    /// The steps, in the order of their execution.
    steps: Vec<StepBody>,
    /// Files that imagedepot did not create. It never touches them.
    foreign: Vec<String>,
}

impl PlanBody {
    fn sample() -> Self {
        let step = StepBody { step: "publish", path: "win7-office_12.ckm".to_owned() };
        Self { dry_run: true, steps: vec![step], foreign: vec!["readme.txt".to_owned()] }
    }
}

/// One step of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub struct StepBody {
    /// The kind of step: `publish`, `acknowledge`, `write_manifest`, `remove_manifest`, `withdraw`, `remove`, `forget`
    /// or `conflict`.
    step: &'static str,
    path: String,
}

impl PlanBody {
    fn new(plan: &Plan, execution: Execution) -> Self {
        let step = |step: &crate::catalog::publication::plan::Step| StepBody {
            step: step.verb(),
            path: step.path().to_owned(),
        };
        Self {
            dry_run: execution.is_dry_run(),
            steps: plan.steps.iter().map(step).collect(),
            foreign: plan.foreign.clone(),
        }
    }
}

/// List publications
///
/// Returns every file that imagedepot put into the tree, sorted by path.
#[utoipa::path(tag = "publication", operation_id = "list_publications", params(PageQuery), responses(
    (status = 200, description = "A page of publications", body = Page<PublicationBody>), ReadRefusals
))]
#[get("/publications")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<PublicationBody>, Problem> {
    caller.sees_all_images()?;
    let after: Option<String> = page.position()?;
    let publications =
        depot.catalog.publications(&after.unwrap_or_default(), page.fetch()?).await?;
    page.page(publications, |listed| listed.publication.path.clone(), Into::into)
}

/// Reconcile the tree
///
/// Makes the tree match the catalog at once, instead of within a minute. With `dry_run=true` it only reports the steps
/// that it would take.
#[utoipa::path(tag = "publication", operation_id = "reconcile", params(DryRun), responses(
    (status = 200, description = "The steps", body = PlanBody), ChangeRefusals
))]
#[post("/publications/reconcile")]
pub async fn reconcile(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    query: Query<DryRun>,
) -> Result<web::Json<PlanBody>, Problem> {
    caller.sees_all_images()?;
    let plan = match query.execution() {
        Execution::DryRun => depot.catalog.plan().await?,
        Execution::Real => depot.catalog.reconcile().await?,
    };
    Ok(web::Json(PlanBody::new(&plan, query.execution())))
}
