//! Resumable Uploads for HTTP (the IETF draft) over the upload engine; `wire::resumable` has its fields.
//!
//! Implements the text of interop version 9, and two things that clients of versions 6 to 8 look for: `Upload-Offset`
//! in every response about progress, and the problem type for complete uploads. No 104 is sent, because actix cannot
//! send interim responses of its own. Clients learn of the session by creating it with an empty request ("careful
//! upload creation").
//!
//! In two places it does less than the draft says. A request that goes beyond the announced length is refused, but does
//! not spoil the upload: no byte of it was accepted, so the offset never passed the end. And a GET shows the session as
//! JSON without `Upload-Offset`: it is for observers and must not stop the writer, as reporting an offset would.

mod refusal;
mod request;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpResponse, HttpResponseBuilder};
use uuid::Uuid;

use self::refusal::{as_draft_refusal, inconsistent};
pub use self::request::UploadTarget;
use self::request::{Continuation, Creation};
use super::limits::limits;
use super::session::{Append, Call};
use crate::api::conventions::problem::{Code, Problem};
use crate::api::revisions::FileBody;
use crate::catalog::upload::{Announcement, Received};
use crate::catalog::{Error, Precondition};
use crate::model::{Upload, UploadProtocol, UploadState};
use crate::wire::digest_fields::{self, REPR_DIGEST};
use crate::wire::resumable::{self as fields, Limits};

/// The refusals to complete an upload that say nothing about the file.
const MAY_BE_RETRIED: [Code; 2] = [Code::UploadTakenOver, Code::UploadLost];

/// Creates an upload by `POST /uploads`, which names the target in the query.
pub async fn create_for_query(
    call: &Call,
    condition: Precondition,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    match UploadTarget::in_query(call) {
        Ok(target) => create(call, target, condition, payload).await,
        Err(problem) => Err(as_draft_refusal(call, problem)),
    }
}

/// Begins an upload. If the request contains the whole file, it also completes the upload.
pub async fn create(
    call: &Call,
    target: UploadTarget,
    condition: Precondition,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let created = try_create(call, target, condition, payload).await;
    created.map_err(|problem| as_draft_refusal(call, problem))
}

async fn try_create(
    call: &Call,
    UploadTarget { image, revision, role }: UploadTarget,
    condition: Precondition,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let Creation { size, digest, first, complete } = Creation::read(call)?;
    let protocol = UploadProtocol::Resumable;
    let metadata = None;
    let announced =
        Announcement { image, revision, role, size, digest, metadata, condition, protocol };
    let mut upload = call.create(announced).await?;
    if let Some(append) = first {
        upload = call.append_first(upload, append, payload).await?;
    }
    if complete {
        let upload = call.end_here(upload).await?;
        return finish(call, &upload).await;
    }
    let mut response = progress(call, HttpResponse::Created(), &upload);
    response.insert_header((header::LOCATION, call.location(upload.id)));
    Ok(response.finish())
}

/// Returns the offset at which the client has to continue.
pub async fn head(call: &Call, id: Uuid) -> Result<HttpResponse, Problem> {
    let upload = call.session_after_stopping_writer(id).await?;
    let mut response = progress(call, HttpResponse::NoContent(), &upload);
    if let Some(length) = upload.length().and_then(fields::write_number) {
        response.insert_header((fields::UPLOAD_LENGTH.clone(), length));
    }
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.finish())
}

pub async fn append(call: &Call, id: Uuid, payload: Payload) -> Result<HttpResponse, Problem> {
    let appended = try_append(call, id, payload).await;
    appended.map_err(|problem| as_draft_refusal(call, problem))
}

async fn try_append(call: &Call, id: Uuid, payload: Payload) -> Result<HttpResponse, Problem> {
    let upload = call.session(id).await?;
    let Continuation { append, complete } = Continuation::read(call, &upload)?;
    if upload.state == UploadState::Complete {
        return answer_again(call, &upload, append, complete).await;
    }
    if complete {
        ends_the_file(call, &upload, append).await?;
    }
    let upload = call.append(id, append, payload).await?;
    if complete {
        let upload = call.end_here(upload).await?;
        return finish(call, &upload).await;
    }
    Ok(progress(call, HttpResponse::NoContent(), &upload).finish())
}

/// Checks that a request which claims to end the file does so. If not, it is refused before its bytes are accepted.
async fn ends_the_file(call: &Call, upload: &Upload, append: Append) -> Result<(), Problem> {
    let Some(length) = append.length else { return Ok(()) };
    let end = append.offset.saturating_add(length);
    if upload.length().is_none_or(|size| size == end) {
        return Ok(());
    }
    // A wrong offset is reported first, because the lengths follow from it.
    let now = call.session_after_stopping_writer(upload.id).await?;
    if now.received != append.offset {
        return Err(Error::OffsetMismatch { expected: now.received, given: append.offset }.into());
    }
    Err(inconsistent())
}

/// Answers a client that missed the response to the request that completed the upload. Nothing can be appended any
/// more.
async fn answer_again(
    call: &Call,
    upload: &Upload,
    append: Append,
    complete: bool,
) -> Result<HttpResponse, Problem> {
    if append.offset != upload.size {
        let (expected, given) = (upload.size, append.offset);
        return Err(Error::OffsetMismatch { expected, given }.into());
    }
    if append.length != Some(0) {
        return Err(inconsistent());
    }
    if complete { finish(call, upload).await } else { Err(Error::UploadComplete.into()) }
}

/// Completes an upload, with the response of a plain PUT of the file. Its refusals are also those of the target, and
/// final, as `Upload-Complete: ?1` says; failures on the way there may be retried.
async fn finish(call: &Call, upload: &Upload) -> Result<HttpResponse, Problem> {
    if upload.received < upload.size {
        return Err(inconsistent());
    }
    let received = call.finish(upload.id).await.map_err(|problem| {
        let for_good =
            problem.status().is_client_error() && !MAY_BE_RETRIED.contains(&problem.code());
        problem.with_header(fields::UPLOAD_COMPLETE.clone(), fields::write_complete(for_good))
    })?;
    let mut response = finished(&received);
    response.insert_header((header::LOCATION, call.location(upload.id)));
    response.insert_header((fields::UPLOAD_COMPLETE.clone(), fields::write_complete(true)));
    if let Some(offset) = fields::write_number(upload.size) {
        response.insert_header((fields::UPLOAD_OFFSET.clone(), offset));
    }
    Ok(response.json(FileBody::from(&received.file)))
}

/// Begins the response about a file that has arrived.
fn finished(received: &Received) -> HttpResponseBuilder {
    let mut response = if received.replaced { HttpResponse::Ok() } else { HttpResponse::Created() };
    response.insert_header((REPR_DIGEST.clone(), digest_fields::write(received.file.digest)));
    response.insert_header((header::ETAG, format!("\"{}\"", received.file.tag())));
    response
}

fn progress(
    call: &Call,
    mut response: HttpResponseBuilder,
    upload: &Upload,
) -> HttpResponseBuilder {
    let complete = upload.state == UploadState::Complete;
    response.insert_header((fields::UPLOAD_COMPLETE.clone(), fields::write_complete(complete)));
    if let Some(offset) = fields::write_number(upload.received) {
        response.insert_header((fields::UPLOAD_OFFSET.clone(), offset));
    }
    let left = call.expires_at(upload).map(|at| (at - call.now()).num_seconds().max(0));
    let limits = Limits { max_age: left.map(i64::unsigned_abs), ..limits(&call.depot) };
    response.insert_header((fields::UPLOAD_LIMIT.clone(), limits.to_string()));
    response
}
