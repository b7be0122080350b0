//! `/images/{image}/revisions/{revision}/prestage`: the pre-staging kit as one download.
//!
//! [`crate::prestage`] decides what the kit contains; this module finds its files and sends them as an archive.

mod archive;

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, head};
use serde::Deserialize;
use utoipa::IntoParams;

use super::conventions::caller::Caller;
use super::conventions::conditional::Unchanged;
use super::conventions::file_body::FileBytes;
use super::conventions::file_response::{self, ServedFile};
use super::conventions::problem::{FileRefusals, InvalidQuery, Problem, ReadRefusals};
use super::depot::Depot;
use crate::access::permission::Read;
use crate::catalog::Error;
use crate::catalog::revision::RevisionDetails;
use crate::model::{File, ImageName};
use crate::prestage::location::Location;
use crate::prestage::rights::UsersMay;
use crate::prestage::{Kit, KitFile, Unfit};

/// The query parameters of a pre-staging kit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PrestageQuery {
    /// The folder on the client computers that will contain `MED-V Images`.
    #[serde(default)]
    #[param(default = "C:\\", example = "D:\\Virtual Machines")]
    location: Option<String>,
    /// Let users append in `PrestagedImages` as well, as in the later of MED-V's two documents.
    #[serde(default)]
    #[param(default = false)]
    users_may_append: bool,
}

/// Download a pre-staging kit
///
/// Returns the first image for client computers as a tar archive: `MED-V Images/PrestagedImages` with the revision's
/// files, `SHA256SUMS`, and the files that set it up there (scripts, registry values, `README.txt`). The archive is
/// generated while it is sent, with the same bytes each time, so a download that broke off continues with `Range`.
/// Answers 409 if the revision is not ready.
#[utoipa::path(tag = "revisions", operation_id = "get_prestaging_kit",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), PrestageQuery),
    responses(
        (status = 200, description = "The kit", body = FileBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The requested ranges", body = FileBytes, content_type = "application/octet-stream"),
        Unchanged, FileRefusals, InvalidQuery, ReadRefusals
    )
)]
#[get("/images/{image}/revisions/{revision}/prestage")]
pub async fn get(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    query: Query<PrestageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    serve(&caller, &depot, path.into_inner(), &query, &request).await
}

/// Get a pre-staging kit's headers
///
/// Returns the headers of a GET of the whole archive, without its bytes.
#[utoipa::path(tag = "revisions", operation_id = "head_prestaging_kit",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"), PrestageQuery),
    responses(
        (status = 200, description = "The archive's size and tag, in headers"),
        Unchanged, FileRefusals, InvalidQuery, ReadRefusals
    )
)]
#[head("/images/{image}/revisions/{revision}/prestage")]
pub async fn head(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64)>,
    query: Query<PrestageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    serve(&caller, &depot, path.into_inner(), &query, &request).await
}

async fn serve(
    caller: &Caller<Read>,
    depot: &Depot,
    (image, revision): (ImageName, i64),
    query: &PrestageQuery,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.may_know(&image)?;
    let details = depot.catalog.ready_revision(&image, revision).await?;
    let kit = kit_of(depot, &details, query)?;
    let archive = archive::of(depot, &details, &kit).await?;
    let file = ServedFile {
        reader: archive.reader,
        identity: archive.identity,
        // Another version of this program may make a different kit of the same revision, and only the tag shows that.
        last_modified: None,
        content_type: "application/octet-stream".into(),
        cache_control: "private, no-cache",
    };
    let mut response = file_response::respond(request, file).await?;
    let name = format!("attachment; filename=\"{image}_{revision}_prestage.tar\"");
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn kit_of(depot: &Depot, details: &RevisionDetails, query: &PrestageQuery) -> Result<Kit, Error> {
    let unfit = |field| move |unfit: Unfit| Error::invalid(field, unfit);
    let location = query.location.as_deref().map_or_else(|| Ok(Location::default()), str::parse);
    let file = |file: &File| {
        KitFile::new(depot.catalog.file_name(details, file.role), file.size, file.digest)
    };
    let files: Result<Vec<_>, _> = details.files.iter().map(file).collect();
    let (image, revision) = (details.image.name.as_str(), details.revision.number.unsigned_abs());
    Kit::new(
        image,
        revision,
        files.map_err(unfit("tree.pattern"))?,
        location.map_err(unfit("location"))?,
        UsersMay::appending(query.users_may_append),
    )
    .map_err(unfit("location"))
}
