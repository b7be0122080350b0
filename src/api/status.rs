//! `/status`: one answer for a dashboard.

use actix_web::web::Data;
use actix_web::{get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::conventions::caller::Caller;
use super::conventions::problem::{Problem, ReadRefusals};
use super::conventions::sample;
use super::depot::Depot;
use super::scrub::share;
use crate::access::permission::Read;
use crate::model::{Backup, Part, PartState, program};
use crate::storage::db::newest_schema;
use crate::upkeep::status::{Backlog, Figures};

/// How the server and its catalog are. What the catalog counts is null while it does not answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status, example = json!(Self::sample()))]
pub struct StatusBody {
    version: VersionBody,
    /// Update checks and downloads are answered.
    ready: bool,
    /// The names of the parts that do not work.
    degraded: Vec<&'static str>,
    /// The parts that are watched, as they were found within the last seconds.
    parts: Vec<PartBody>,
    storage: StorageBody,
    /// Uploads under way.
    #[schema(required = true)]
    uploads: Option<UploadsBody>,
    #[schema(required = true)]
    scrub: Option<CoverageBody>,
    /// Null where none is known.
    #[schema(required = true)]
    newest_backup: Option<BackupBody>,
    /// What the tree lacks and what it still has.
    #[schema(required = true)]
    publication: Option<BacklogBody>,
}

/// Which program answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionBody {
    program: &'static str,
    /// That it was built from; null where the build did not say.
    #[schema(required = true)]
    commit: Option<&'static str>,
    /// The number of its newest migration.
    schema: i64,
    /// The cargo features that it was built with.
    features: Vec<&'static str>,
}

/// A part that may fail by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
pub struct PartBody {
    part: &'static str,
    degraded: bool,
    /// A sentence on what is wrong; null while it works.
    #[schema(required = true)]
    what: Option<String>,
    #[schema(required = true)]
    since: Option<DateTime<Utc>>,
}

/// Bytes of the store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Storage)]
pub struct StorageBody {
    #[schema(required = true)]
    used: Option<i64>,
    /// Promised to uploads under way, and not there yet.
    #[schema(required = true)]
    reserved: Option<i64>,
    /// Null in a bucket.
    #[schema(required = true)]
    free: Option<u64>,
}

/// Uploads under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadsUnderWay)]
pub struct UploadsBody {
    count: i64,
    /// That have come for them.
    bytes: i64,
}

/// How far the scrub has come: `GET /scrub` says more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScrubCoverage)]
pub struct CoverageBody {
    /// The share of the stored bytes that were read again, or arrived, within `scrub.within`: 0 to 1.
    coverage: f64,
    #[schema(required = true)]
    oldest_verified_at: Option<DateTime<Utc>>,
    /// Files whose bytes are damaged.
    damaged: usize,
}

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewestBackup)]
pub struct BackupBody {
    /// By which `restore` finds it.
    name: String,
    taken_at: DateTime<Utc>,
}

/// Files that the tree lacks, and has too many.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backlog)]
pub struct BacklogBody {
    /// Offered and not in the tree yet.
    to_publish: usize,
    /// Offered no more, and there for their grace.
    to_withdraw: usize,
}

impl StatusBody {
    fn sample() -> Self {
        let well = |part: Part| PartState { part, trouble: None };
        let mut version = VersionBody::of_program();
        // The document says the same, whatever was built.
        (version.commit, version.schema) = (Some("3f9a1c0d2b47"), 14);
        version.features = vec!["server", "client", "negotiate"];
        Self {
            version,
            ready: true,
            degraded: Vec::new(),
            parts: Part::ALL.map(|part| PartBody::of(&well(part))).into(),
            storage: StorageBody {
                used: Some(2_400_000_000_000),
                reserved: Some(21_474_836_480),
                free: Some(1_200_000_000_000),
            },
            uploads: Some(UploadsBody { count: 1, bytes: 4_294_967_296 }),
            scrub: Some(CoverageBody {
                coverage: 1.0,
                oldest_verified_at: Some(sample::time("2026-10-29T03:12:45Z")),
                damaged: 0,
            }),
            newest_backup: Some(BackupBody {
                name: "20261102T010000.000Z".to_owned(),
                taken_at: sample::time("2026-11-02T01:00:00Z"),
            }),
            publication: Some(BacklogBody { to_publish: 0, to_withdraw: 2 }),
        }
    }

    async fn of(depot: &Depot) -> Self {
        let (figures, free) = tokio::join!(depot.catalog.figures(), depot.catalog.free_bytes());
        let parts: Vec<_> = depot.catalog.parts().iter().map(PartBody::of).collect();
        let degraded = parts.iter().filter(|part| part.degraded).map(|part| part.part).collect();
        let figures = figures.as_ref();
        let storage = StorageBody {
            used: figures.map(|figures| figures.used),
            reserved: figures.map(|figures| figures.reserved),
            free,
        };
        let uploads =
            |figures: &Figures| UploadsBody { count: figures.uploads, bytes: figures.arrived };
        Self {
            version: VersionBody::of_program(),
            ready: depot.catalog.snapshot().is_loaded(),
            degraded,
            parts,
            storage,
            uploads: figures.map(uploads),
            scrub: figures.map(CoverageBody::of),
            newest_backup: figures
                .and_then(|figures| figures.newest_backup.clone())
                .map(Into::into),
            publication: figures.map(|figures| figures.backlog.into()),
        }
    }
}

impl VersionBody {
    fn of_program() -> Self {
        Self {
            program: program::VERSION,
            commit: program::commit(),
            schema: newest_schema(),
            features: program::features(),
        }
    }
}

impl PartBody {
    fn of(state: &PartState) -> Self {
        let trouble = state.trouble.as_ref();
        Self {
            part: state.part.as_str(),
            degraded: trouble.is_some(),
            what: trouble.map(|trouble| trouble.what.clone()),
            since: trouble.map(|trouble| trouble.since),
        }
    }
}

impl CoverageBody {
    fn of(figures: &Figures) -> Self {
        Self {
            coverage: share(&figures.coverage),
            oldest_verified_at: figures.coverage.oldest_verified_at,
            damaged: figures.damaged,
        }
    }
}

impl From<Backup> for BackupBody {
    fn from(Backup { name, taken_at }: Backup) -> Self {
        Self { name, taken_at }
    }
}

impl From<Backlog> for BacklogBody {
    fn from(Backlog { to_publish, to_withdraw }: Backlog) -> Self {
        Self { to_publish, to_withdraw }
    }
}

/// How the depot is
///
/// Version, parts that do not work, room, uploads under way, the scrub, the newest backup and what the tree lacks, in one
/// answer for a dashboard. Answered, with nulls, also while the catalog is away.
#[utoipa::path(tag = "health", operation_id = "status", responses(
    (status = 200, description = "How it is", body = StatusBody), ReadRefusals
))]
#[get("/status")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
) -> Result<web::Json<StatusBody>, Problem> {
    caller.sees_all_images()?;
    Ok(web::Json(StatusBody::of(&depot).await))
}
