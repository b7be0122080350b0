//! `/uploads`: resumable uploads, with three protocols on the same paths.
//!
//! The headers of a request choose the protocol: `Tus-Resumable` is tus 1.0 (`tus`), `Upload-Complete` is the IETF
//! draft (`resumable`), neither is JSON (`json`). All of them share one kind of session (`session`), which each of them
//! can continue, and one path for bytes into an upload ([`body`]). [`tus_middleware`] adds what tus requires of every
//! request and response.

pub mod allowed_methods;
pub mod body;
pub mod json;
mod limits;
pub mod resumable;
pub mod session;
mod tus;
pub mod tus_middleware;

use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, head, options, patch, post};
use uuid::Uuid;

use self::allowed_methods::AllowedMethods;
use self::json::NewUpload;
use self::session::{Call, UploadBody};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::file_body::FileBytes;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals, UnknownTus};
use super::depot::Depot;
use super::revisions::FileBody;
use crate::access::permission::{Administer, Publish};
use crate::catalog::Precondition;
use crate::model::Upload;
use crate::wire::{resumable as draft, tus as tus_fields};

/// The protocol of a request.
enum Protocol {
    Tus,
    Resumable,
    Json,
}

impl Protocol {
    fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        if headers.contains_key(&tus_fields::TUS_RESUMABLE) {
            Self::Tus
        } else if draft::complete(headers).is_some() {
            Self::Resumable
        } else {
            Self::Json
        }
    }
}

/// List uploads
///
/// Returns the open uploads, oldest first: their owner, their target, their progress, and the time at which they expire
/// if they make no progress.
#[utoipa::path(tag = "uploads", operation_id = "list_uploads", params(PageQuery), responses(
    (status = 200, description = "A page of uploads", body = Page<UploadBody>), ReadRefusals
))]
#[get("/uploads")]
pub async fn list(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
) -> Result<Page<UploadBody>, Problem> {
    let from = |after, limit| depot.catalog.uploads(after, limit);
    let id = |upload: &Upload| upload.id;
    let uploads = page.visible(from, id, |upload| caller.identity().covers(&upload.image));
    page.page(uploads.await?, id, |upload| UploadBody::new(&depot, &upload))
}

/// Begin a resumable upload
///
/// Reserves the disk space for a file of a draft, and creates an upload that is continued at `Location`. The headers
/// choose the protocol:
///
/// - Without any of the headers below: the JSON body. Either protocol can then append to the upload.
/// - With `Tus-Resumable: 1.0.0`: tus (creation, creation-with-upload, creation-defer-length), with `Upload-Length` or
///   `Upload-Defer-Length: 1`, and with `image`, `revision`, `role` and optionally `digest` in `Upload-Metadata`.
/// - With `Upload-Complete`: the IETF draft (draft-ietf-httpbis-resumable-upload), with the target in the query, and
///   optionally with `Upload-Length` and `Repr-Digest`. With `Upload-Complete: ?1`, the response is that of a plain PUT
///   of the file.
///
/// If the length of a file is stated later, space is reserved as its bytes arrive.
#[utoipa::path(tag = "uploads", operation_id = "create_upload", request_body = NewUpload,
    params(("image" = Option<String>, Query, description = "IETF draft: the image's name"),
           ("revision" = Option<i64>, Query, description = "IETF draft: the draft revision's number"),
           ("role" = Option<String>, Query, description = "IETF draft: the file's role"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus"),
           ("Upload-Complete" = Option<String>, Header, description = "`?0` or `?1` chooses the IETF draft"),
           ("Upload-Length" = Option<u64>, Header, description = "Both protocols: the size of the whole file in bytes, if it is known"),
           ("Upload-Defer-Length" = Option<String>, Header, description = "tus: `1` if a later request states the length"),
           ("Upload-Metadata" = Option<String>, Header, description = "tus: the target; HEAD returns it as it was sent")),
    responses(
        (status = 201, description = "The upload, which is continued at `Location`", body = UploadBody),
        // Generators use the lowest status of a success as the one that counts.
        (status = "2XX", description = "IETF draft, with the whole file in the request: 201, or 200 if it replaced the draft's file", body = FileBody),
        ChangeRefusals
    )
)]
#[post("/uploads")]
pub async fn create(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    Condition(condition): Condition,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller, depot, request };
    match Protocol::of(&call.request) {
        Protocol::Tus => tus::create(&call, condition, payload).await,
        Protocol::Resumable => resumable::create_for_query(&call, condition, payload).await,
        Protocol::Json => json::create(&call, condition, payload).await,
    }
}

/// Get the upload options
///
/// Returns the versions, the extensions and the limits of tus, and the limits of the IETF draft. Open to everyone.
#[utoipa::path(tag = "uploads", operation_id = "upload_options", security(()), responses(
    (status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit` and so on"),
    ReadRefusals
))]
#[options("/uploads")]
pub async fn options(depot: Data<Depot>, methods: AllowedMethods) -> HttpResponse {
    methods.answer(&depot)
}

/// Show an upload
///
/// Returns the upload to its owner and to administrators. Unlike a HEAD, this does not end a request that is sending
/// bytes.
#[utoipa::path(tag = "uploads", operation_id = "get_upload",
    params(("upload" = Uuid, Path, description = "The upload's id")),
    responses((status = 200, description = "The upload", body = UploadBody), Unchanged, ReadRefusals)
)]
#[get("/uploads/{upload}")]
pub async fn show(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<Resource<UploadBody>, Problem> {
    let call = Call { caller, depot, request };
    let upload = call.session(*id).await?;
    Ok(Resource::tagged(upload.tag(), UploadBody::new(&call.depot, &upload)))
}

/// Get the offset of an upload
///
/// Returns the offset of the next byte in `Upload-Offset`, and the size of the whole file in `Upload-Length`, if it is
/// known. A request that is still sending bytes is ended first, because its connection is taken to be broken. The bytes
/// that it has sent count.
#[utoipa::path(tag = "uploads", operation_id = "head_upload",
    params(("upload" = Uuid, Path, description = "The upload's id"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus; without it, the IETF draft is used")),
    responses(
        (status = 200, description = "tus: `Upload-Offset`, `Upload-Length`, `Upload-Expires`"),
        (status = 204, description = "IETF draft: `Upload-Offset`, `Upload-Length`, `Upload-Complete`, `Upload-Limit`"),
        UnknownTus, ReadRefusals
    )
)]
#[head("/uploads/{upload}")]
pub async fn head(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller, depot, request };
    match Protocol::of(&call.request) {
        Protocol::Tus => tus::head(&call, *id).await,
        Protocol::Resumable | Protocol::Json => resumable::head(&call, *id).await,
    }
}

/// Append to an upload
///
/// The body contains the bytes of the file from `Upload-Offset` on:
///
/// - tus: with `Tus-Resumable: 1.0.0` and `Content-Type: application/offset+octet-stream`, and optionally with
///   `Upload-Checksum`. The last byte completes the upload.
/// - IETF draft: with `Content-Type: application/partial-upload` or `application/octet-stream`, and optionally with
///   `Content-Digest`. `Upload-Complete: ?1` completes the upload, and the response is that of a plain PUT of the file.
///
/// Bytes that arrive before a connection breaks are kept. If two requests send bytes at once, the newer one wins.
#[utoipa::path(tag = "uploads", operation_id = "append_to_upload",
    request_body(content = FileBytes, content_type = "application/octet-stream"),
    params(("upload" = Uuid, Path, description = "The upload's id"),
           ("Upload-Offset" = Option<u64>, Header, description = "The offset in the file at which the bytes begin"),
           ("Upload-Complete" = Option<String>, Header, description = "IETF draft: `?1` completes the upload, `?0` does not"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus"),
           ("Upload-Checksum" = Option<String>, Header, description = "tus: `sha1` or `sha256`, a space, and the checksum in base64")),
    responses(
        (status = 200, description = "IETF draft: the upload is complete, and the file replaced the draft's file", body = FileBody),
        (status = 201, description = "IETF draft: the upload is complete", body = FileBody),
        (status = 204, description = "The bytes are on stable storage; `Upload-Offset` is the offset of the next byte"),
        ChangeRefusals
    )
)]
#[patch("/uploads/{upload}")]
pub async fn append(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    Condition(condition): Condition,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller, depot, request };
    if condition != Precondition::None {
        condition.check(Some(&call.session(*id).await?.tag()))?;
    }
    match Protocol::of(&call.request) {
        Protocol::Tus => tus::append(&call, *id, payload).await,
        Protocol::Resumable | Protocol::Json => resumable::append(&call, *id, payload).await,
    }
}

/// Cancel an upload
///
/// Ends a request that is sending bytes, and discards the bytes that have arrived. If the upload is complete, only its
/// session is deleted: its bytes are the draft's file.
#[utoipa::path(tag = "uploads", operation_id = "cancel_upload",
    params(("upload" = Uuid, Path, description = "The upload's id")),
    responses((status = 204, description = "The upload is deleted"), ChangeRefusals)
)]
#[delete("/uploads/{upload}")]
pub async fn cancel(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    id: Path<Uuid>,
    Condition(condition): Condition,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller, depot, request };
    let upload = call.session(*id).await?;
    condition.check(Some(&upload.tag()))?;
    call.cancel(upload.id).await
}

/// Get the options of an upload
///
/// Returns the same for every upload, whether it exists or not. Open to everyone.
#[utoipa::path(tag = "uploads", operation_id = "upload_options_of_one", security(()),
    params(("upload" = String, Path, description = "The upload's id")),
    responses(
        (status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit` and so on"),
        ReadRefusals
    )
)]
#[options("/uploads/{upload}")]
pub async fn options_of_one(depot: Data<Depot>, methods: AllowedMethods) -> HttpResponse {
    methods.answer(&depot)
}
