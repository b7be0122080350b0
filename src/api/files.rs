//! `/images/{image}/revisions/{revision}/files/{role}`: upload and download of a file.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, head, options, put, web};

use super::conventions::caching;
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Unchanged};
use super::conventions::file_body::{FileBytes, must_be_plain_bytes, promises_of_whole};
use super::conventions::file_response::{self, ContentIdentity, ServedFile};
use super::conventions::problem::{ChangeRefusals, Code, FileRefusals, Problem, ReadRefusals};
use super::depot::Depot;
use super::revisions::FileBody;
use super::uploads;
use super::uploads::allowed_methods::AllowedMethods;
use super::uploads::body::{Body, OnBreak, next_chunk};
use super::uploads::resumable::UploadTarget;
use super::uploads::session::{Call, body_length};
use crate::access::permission::{Publish, Read};
use crate::catalog::upload::{Announcement, Incoming};
use crate::catalog::{Catalog, Error};
use crate::model::{Digest, FileRole, ImageName, RevisionState, UploadProtocol};
use crate::wire::digest_fields::{self, REPR_DIGEST};
use crate::wire::promised_digests::{Broken, DigestCheck};
use crate::wire::resumable;

/// Upload a file
///
/// Uploads the whole file in one request (`curl -T`), in chunks if its length is unknown. A digest in `Repr-Digest`,
/// `Content-Digest` (RFC 9530), `Digest`, `Content-MD5` or a similar header is verified. Answers 201, or 200 if the
/// file replaced one of the draft. An upload that breaks off leaves nothing behind.
///
/// With `Upload-Complete`, the request begins a resumable upload of the IETF draft: `?1` if it contains the whole file,
/// `?0` if more follows at the `Location` of the response.
#[utoipa::path(tag = "files", operation_id = "put_file",
    request_body(content = FileBytes, content_type = "application/octet-stream"),
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"),
           ("role" = FileRole, Path, description = "`ckm` or `index` for kind `medv`, `image` for kind `single`")),
    responses(
        (status = 200, description = "The file replaced the draft's file of this role", body = FileBody),
        (status = 201, description = "The file was added to the draft", body = FileBody),
        ChangeRefusals
    )
)]
#[put("/images/{image}/revisions/{revision}/files/{role}")]
pub async fn put(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64, String)>,
    condition: Condition,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (image, revision, role) = path.into_inner();
    caller.may_know(&image)?;
    let role = known_role(&role)?;
    if resumable::complete(request.headers()).is_some() {
        let (call, target) =
            (Call { caller, depot, request }, UploadTarget { image, revision, role });
        return uploads::resumable::create(&call, target, condition.0, payload).await;
    }
    let ArrivingFile { size, digest, witnesses } = read_headers(&request)?;
    let (condition, protocol) = (condition.0, UploadProtocol::Put);
    let metadata = None;
    let announced =
        Announcement { image, revision, role, size, digest, metadata, condition, protocol };
    let incoming = depot.catalog.receive(&caller.actor(), announced).await?;
    let received = take_whole(incoming, Body::new(&request, payload), witnesses)
        .await?
        .finish(&caller.actor())
        .await?;
    let mut response = if received.replaced { HttpResponse::Ok() } else { HttpResponse::Created() };
    response.insert_header((REPR_DIGEST.clone(), digest_fields::write(received.file.digest)));
    response.insert_header((header::ETAG, format!("\"{}\"", received.file.tag())));
    Ok(response.json(FileBody::from(&received.file)))
}

/// Download a file
///
/// Returns the bytes of a revision's file, whole or in ranges. Several ranges are returned in the order of the request.
/// Files of drafts and of revoked revisions can be downloaded as well, those of a quarantined revision cannot (409).
#[utoipa::path(tag = "files", operation_id = "get_file",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"),
           ("role" = FileRole, Path, description = "`ckm` or `index` for kind `medv`, `image` for kind `single`")),
    responses(
        (status = 200, description = "The file", body = FileBytes, content_type = "application/octet-stream"),
        (status = 206, description = "The requested ranges", body = FileBytes, content_type = "application/octet-stream"),
        Unchanged, FileRefusals, ReadRefusals
    )
)]
#[get("/images/{image}/revisions/{revision}/files/{role}")]
pub async fn get(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    serve(&caller, &depot, path.into_inner(), &request).await
}

/// Get a file's headers
///
/// Returns the headers of a GET of the whole file, without its bytes.
#[utoipa::path(tag = "files", operation_id = "head_file",
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"),
           ("role" = FileRole, Path, description = "`ckm` or `index` for kind `medv`, `image` for kind `single`")),
    responses(
        (status = 200, description = "The file's size, date, tag and digest, in headers"),
        Unchanged, FileRefusals, ReadRefusals
    )
)]
#[head("/images/{image}/revisions/{revision}/files/{role}")]
pub async fn head(
    caller: Caller<Read>,
    depot: Data<Depot>,
    path: Path<(ImageName, i64, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    serve(&caller, &depot, path.into_inner(), &request).await
}

/// Get the upload limits of a file
///
/// Returns the limits of resumable uploads of the IETF draft in `Upload-Limit`. Open to everyone.
#[utoipa::path(tag = "files", operation_id = "file_options", security(()),
    params(("image" = String, Path, description = "The image's name"),
           ("revision" = i64, Path, description = "The revision's number"),
           ("role" = FileRole, Path, description = "`ckm` or `index` for kind `medv`, `image` for kind `single`")),
    responses((status = 204, description = "`Allow` and `Upload-Limit`"), ReadRefusals)
)]
#[options("/images/{image}/revisions/{revision}/files/{role}")]
pub async fn options(depot: Data<Depot>, methods: AllowedMethods) -> HttpResponse {
    methods.answer_for_file(&depot)
}

async fn serve(
    caller: &Caller<Read>,
    depot: &Depot,
    (image, revision, role): (ImageName, i64, String),
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.may_know(&image)?;
    let file = served_file(&depot.catalog, &image, revision, known_role(&role)?).await?;
    file_response::respond(request, file).await
}

async fn served_file(
    catalog: &Catalog,
    image: &ImageName,
    revision: i64,
    role: FileRole,
) -> Result<ServedFile, Problem> {
    let details = catalog.revision(image, revision).await?;
    if let (number, state @ RevisionState::Quarantined) = (revision, details.revision.state) {
        return Err(Error::RevisionNotReady { number, state }.into());
    }
    let file = details.file(role)?;
    let reader = catalog.blobs().reader(&file.blob_key, file.size).await.map_err(Error::from)?;
    Ok(ServedFile {
        reader,
        identity: ContentIdentity::Bytes(file.digest),
        // Not for a draft, because its file may change within a second.
        last_modified: details.revision.sealed_at,
        content_type: "application/octet-stream".into(),
        cache_control: caching::NO_CACHING,
    })
}

/// Parses a role. A role that no kind of image has gives a 404, like any unknown path.
fn known_role(text: &str) -> Result<FileRole, Problem> {
    text.parse().map_err(|()| Problem::not_found())
}

/// Takes in a whole file. If the connection breaks, the file is given up, because its client knows of no session to
/// continue.
async fn take_whole(
    mut incoming: Incoming,
    mut body: Body,
    mut witnesses: Vec<DigestCheck>,
) -> Result<Incoming, Problem> {
    loop {
        let refused = match next_chunk(&mut body, OnBreak::Dropped).await {
            Ok(None) => match must_be_kept(witnesses) {
                Ok(()) => return Ok(incoming),
                Err(broken) => broken,
            },
            Ok(Some(bytes)) => {
                for witness in &mut witnesses {
                    witness.see(&bytes);
                }
                match incoming.write(bytes).await {
                    Ok(()) => continue,
                    Err(error) => error.into(),
                }
            }
            Err(problem) => problem,
        };
        incoming.abandon().await;
        return Err(refused);
    }
}

fn must_be_kept(witnesses: Vec<DigestCheck>) -> Result<(), Problem> {
    for witness in witnesses {
        let Err(Broken { expected, actual }) = witness.judge() else { continue };
        return Err(Error::DigestMismatch { expected, actual }.into());
    }
    Ok(())
}

/// The description of a file in the headers of its upload.
struct ArrivingFile {
    /// The size; none if only the end of the body shows it.
    size: Option<u64>,
    digest: Option<Digest>,
    /// The checks of the digests that the store does not compute.
    witnesses: Vec<DigestCheck>,
}

fn read_headers(request: &HttpRequest) -> Result<ArrivingFile, Problem> {
    let text = |name: header::HeaderName| {
        request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
    };
    must_be_plain_bytes(request)?;
    if text(header::CONTENT_RANGE).is_some() {
        let detail =
            "a PUT must send the whole file, without Content-Range (RFC 9110 section 14.5)";
        return Err(Problem::new(Code::ContentRangeRefused, detail));
    }
    let size = body_length(request)?;
    // By RFC 9112 (6.3) such a request has no body, which is never the intention of a client that sends a file.
    if size == Some(0) && !request.headers().contains_key(header::CONTENT_LENGTH) {
        let detail = "the request has no body; send an empty file with Content-Length: 0";
        return Err(Problem::new(Code::LengthRequired, detail));
    }
    let (digest, witnesses) = promises_of_whole(request)?;
    Ok(ArrivingFile { size, digest, witnesses })
}
