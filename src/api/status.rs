//! `/status`: one response for a dashboard.

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
use crate::rollout::opening::time_zone_release;
use crate::storage::db::newest_schema;
use crate::upkeep::status::{Backlog, Figures};

/// The state of the server and of its catalog. Numbers from the catalog are null while it does not answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status, example = json!(Self::sample()))]
pub struct StatusBody {
    version: VersionBody,
    /// True if update checks and downloads are answered.
    ready: bool,
    /// The names of the parts that do not work.
    degraded: Vec<&'static str>,
    /// The parts that are monitored, as they were found within the last few seconds.
    parts: Vec<PartBody>,
    storage: StorageBody,
    /// The uploads in progress.
    #[schema(required = true)]
    uploads: Option<UploadsBody>,
    #[schema(required = true)]
    scrub: Option<CoverageBody>,
    /// The newest backup; null if none is known.
    #[schema(required = true)]
    newest_backup: Option<BackupBody>,
    /// The files that the tree lacks, and those that it still has to remove.
    #[schema(required = true)]
    publication: Option<BacklogBody>,
    clients: ClientsBody,
}

/// The record of clients; `GET /clients` has its entries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientsOnRecord)]
pub struct ClientsBody {
    /// The number of clients on record, as it was last counted; null until then.
    #[schema(required = true)]
    on_record: Option<u64>,
    /// The update checks that this server has answered and not written to the record yet.
    waiting: usize,
    /// The seconds since the oldest of them.
    behind_seconds: u64,
}

/// The version of the running program.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionBody {
    program: &'static str,
    /// The commit that the program was built from; null if the build did not record it.
    #[schema(required = true)]
    commit: Option<&'static str>,
    /// The number of its newest database migration.
    schema: i64,
    /// The cargo features that it was built with.
    features: Vec<&'static str>,
    /// The release of the system's time zones, such as `2026f`, by which windows of rollouts open; null if this machine
    /// has none.
    #[schema(required = true)]
    time_zones: Option<String>,
}

/// A part of the server that may fail by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
pub struct PartBody {
    part: &'static str,
    degraded: bool,
    /// A sentence that describes the trouble; null while the part works.
    #[schema(required = true)]
    what: Option<String>,
    #[schema(required = true)]
    since: Option<DateTime<Utc>>,
}

/// The bytes of the store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Storage)]
pub struct StorageBody {
    #[schema(required = true)]
    used: Option<i64>,
    /// The bytes that are reserved for uploads in progress and have not arrived yet.
    #[schema(required = true)]
    reserved: Option<i64>,
    /// The free bytes; null for a bucket.
    #[schema(required = true)]
    free: Option<u64>,
}

/// The uploads in progress.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadsUnderWay)]
pub struct UploadsBody {
    count: i64,
    /// The bytes of these uploads that have arrived.
    bytes: i64,
}

/// The progress of the scrub; `GET /scrub` returns more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScrubCoverage)]
pub struct CoverageBody {
    /// The share of the stored bytes that were read again, or arrived, within `scrub.within`: 0 to 1.
    coverage: f64,
    #[schema(required = true)]
    oldest_verified_at: Option<DateTime<Utc>>,
    /// The number of files whose bytes are damaged.
    damaged: usize,
}

/// The newest backup.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewestBackup)]
pub struct BackupBody {
    /// The name by which `restore` finds it.
    name: String,
    taken_at: DateTime<Utc>,
}

/// The files that the tree lacks, and those in it that are no longer offered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backlog)]
pub struct BacklogBody {
    /// The number of files that are offered but not in the tree yet.
    to_publish: usize,
    /// The number of files that are no longer offered and stay for their grace.
    to_withdraw: usize,
}

impl StatusBody {
    fn sample() -> Self {
        let well = |part: Part| PartState { part, trouble: None };
        let mut version = VersionBody::of_program();
        // The example in the document must be the same for every build.
        (version.commit, version.schema) = (Some("3f9a1c0d2b47"), 14);
        version.features = vec!["server", "client", "negotiate"];
        version.time_zones = Some("2026f".to_owned());
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
            clients: ClientsBody { on_record: Some(20_000), waiting: 31, behind_seconds: 1 },
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
            ready: depot.catalog.is_ready(),
            degraded,
            parts,
            storage,
            uploads: figures.map(uploads),
            scrub: figures.map(CoverageBody::of),
            newest_backup: figures
                .and_then(|figures| figures.newest_backup.clone())
                .map(Into::into),
            publication: figures.map(|figures| figures.backlog.into()),
            clients: ClientsBody::of(depot),
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
            time_zones: time_zone_release(),
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

impl ClientsBody {
    fn of(depot: &Depot) -> Self {
        let fleet = depot.catalog.fleet();
        Self {
            on_record: fleet.clients(),
            waiting: fleet.waiting(),
            behind_seconds: fleet.behind(depot.catalog.clock().now().timestamp()),
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

/// Show the status of the server
///
/// Returns the version, the parts that do not work, the disk space, the uploads in progress, the scrub, the newest
/// backup and the backlog of the tree, in one response for a dashboard. Answers even if the catalog is unreachable; the
/// fields that depend on it are then null.
#[utoipa::path(tag = "health", operation_id = "status", responses(
    (status = 200, description = "The status", body = StatusBody), ReadRefusals
))]
#[get("/status")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
) -> Result<web::Json<StatusBody>, Problem> {
    caller.sees_all_images()?;
    Ok(web::Json(StatusBody::of(&depot).await))
}
