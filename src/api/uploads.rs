//! `/uploads`: resumable uploads, in three forms on the same paths.
//!
//! The request's headers choose: `Tus-Resumable` is tus 1.0 (`tus`), `Upload-Complete` is the IETF's draft
//! (`resumable`), neither is JSON (`json`). Below all of them is one kind of session (`session`), which
//! any of them continues, and one way in for bytes ([`body`]). [`tus_middleware`] is the middleware for what tus
//! wants of every request and answer.

pub mod announced;
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

use self::announced::Announced;
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

/// Which of the three a request speaks.
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
/// Those that are open, the oldest first: who uploads what, how far it is, and when it goes if it makes
/// no progress.
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
/// Reserves the room for a file of a draft. The headers choose the protocol. Without any of the others:
/// a JSON body as below; the session is then appended to by either protocol, at `Location`. With
/// `Tus-Resumable: 1.0.0`: tus (creation, creation-with-upload, creation-defer-length) with `Upload-Length` or
/// `Upload-Defer-Length: 1`, and `Upload-Metadata` that has `image`, `revision`, `role` and perhaps `digest`. With
/// `Upload-Complete`: the IETF's draft (draft-ietf-httpbis-resumable-upload), the target in the query, and perhaps
/// `Upload-Length` and `Repr-Digest`. Of a file whose length is told later, room is reserved as its bytes come. With `Upload-Complete: ?1` the answer is the one of the
/// plain PUT of the file.
#[utoipa::path(tag = "uploads", operation_id = "create_upload", request_body = NewUpload,
    params(("image" = Option<String>, Query, description = "IETF's draft: the image's name"),
           ("revision" = Option<i64>, Query, description = "IETF's draft: the draft's number"),
           ("role" = Option<String>, Query, description = "IETF's draft: the file's role"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus"),
           ("Upload-Complete" = Option<String>, Header, description = "`?0` or `?1` chooses the IETF's draft"),
           ("Upload-Length" = Option<u64>, Header, description = "Both: the size of the whole file in bytes, where it is known"),
           ("Upload-Defer-Length" = Option<String>, Header, description = "tus: `1` where a later request tells the length"),
           ("Upload-Metadata" = Option<String>, Header, description = "tus: the target; HEAD tells it as it was sent")),
    responses(
        (status = 201, description = "The upload; `Location` is where it is continued", body = UploadBody),
        // Generators take the least of a success's statuses for the one that counts.
        (status = "2XX", description = "IETF's draft, whose whole file came: 201, or 200 where it replaced the draft's", body = FileBody),
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

/// Ask how to upload
///
/// The versions, extensions and limits of tus, and the limits of the IETF's draft. Open to everyone.
#[utoipa::path(tag = "uploads", operation_id = "upload_options", security(()), responses(
    (status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit` and so on"),
    ReadRefusals
))]
#[options("/uploads")]
pub async fn options(depot: Data<Depot>, announced: Announced) -> HttpResponse {
    announced.answer(&depot)
}

/// Show an upload
///
/// To its owner and to administrators. It does not disturb a request that is sending bytes, which HEAD
/// would end.
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

/// Ask where to go on
///
/// `Upload-Offset` is where the next byte goes, `Upload-Length` the size of the whole file, where it is known. A request that
/// still sends bytes is ended first, for its line is taken to be broken: what it brought counts.
#[utoipa::path(tag = "uploads", operation_id = "head_upload",
    params(("upload" = Uuid, Path, description = "The upload's id"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus, nothing the IETF's draft")),
    responses(
        (status = 200, description = "tus: `Upload-Offset`, `Upload-Length`, `Upload-Expires`"),
        (status = 204, description = "IETF's draft: `Upload-Offset`, `Upload-Length`, `Upload-Complete`, `Upload-Limit`"),
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
/// The body is bytes of the file from `Upload-Offset` on. tus: `Tus-Resumable: 1.0.0` and `Content-Type:
/// application/offset+octet-stream`, perhaps `Upload-Checksum`; the last byte ends the upload. IETF's draft:
/// `Content-Type: application/partial-upload` or `application/octet-stream`, perhaps `Content-Digest`; `Upload-Complete: ?1` ends the upload, and
/// the answer is the one of the plain PUT of the file. What came before a broken line is kept. Of two
/// requests that send bytes the newer one wins.
#[utoipa::path(tag = "uploads", operation_id = "append_to_upload",
    request_body(content = FileBytes, content_type = "application/octet-stream"),
    params(("upload" = Uuid, Path, description = "The upload's id"),
           ("Upload-Offset" = Option<u64>, Header, description = "Where the bytes begin in the file"),
           ("Upload-Complete" = Option<String>, Header, description = "IETF's draft: `?1` ends the upload, `?0` does not"),
           ("Tus-Resumable" = Option<String>, Header, description = "`1.0.0` chooses tus"),
           ("Upload-Checksum" = Option<String>, Header, description = "tus: `sha1` or `sha256`, a space, base64")),
    responses(
        (status = 200, description = "IETF's draft: the file is there and replaced the draft's", body = FileBody),
        (status = 201, description = "IETF's draft: the file is there", body = FileBody),
        (status = 204, description = "The bytes are on stable storage; `Upload-Offset` is where the next go"),
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
/// Ends a request that sends bytes, and takes away what came. Of one that is complete only the session
/// goes: its bytes are the draft's file.
#[utoipa::path(tag = "uploads", operation_id = "cancel_upload",
    params(("upload" = Uuid, Path, description = "The upload's id")),
    responses((status = 204, description = "It is gone"), ChangeRefusals)
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

/// Ask how to go on with an upload
///
/// The same for every upload, whether it exists or not. Open to everyone.
#[utoipa::path(tag = "uploads", operation_id = "upload_options_of_one", security(()),
    params(("upload" = String, Path, description = "The upload's id")),
    responses(
        (status = 204, description = "`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit` and so on"),
        ReadRefusals
    )
)]
#[options("/uploads/{upload}")]
pub async fn options_of_one(depot: Data<Depot>, announced: Announced) -> HttpResponse {
    announced.answer(&depot)
}
