//! tus 1.0.0 over the upload engine; `wire::tus` has its fields, [`super::tus_middleware`] checks its version.

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpResponse, HttpResponseBuilder};
use uuid::Uuid;

use super::session::{Append, Call};
use crate::api::conventions::file_body::{must_be_uncoded, must_promise_no_other};
use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::upload::{Announcement, Checksum};
use crate::catalog::{Error, Precondition};
use crate::model::{Upload, UploadProtocol, UploadState};
use crate::wire::promised_digests::Algorithm;
use crate::wire::tus::{self, MalformedField, Metadata};

/// `460 Checksum Mismatch`, a status that only tus has.
const CHECKSUM_MISMATCH: u16 = 460;

/// Creates an upload, with the extensions creation and creation-with-upload.
pub async fn create(
    call: &Call,
    condition: Precondition,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let announced = announcement(call, condition)?;
    let first = first_append(call, announced.size)?;
    let mut upload = call.create(announced).await?;
    if let Some(append) = first {
        upload = call.append_first(upload, append, payload).await.map_err(with_status_of_tus)?;
    }
    let upload = finished_if_full(call, upload).await?;
    let mut response = progress(call, HttpResponse::Created(), &upload);
    response.insert_header((header::LOCATION, call.location(upload.id)));
    Ok(response.finish())
}

/// Returns the offset at which the client has to continue. If the last response of a full session was lost in a crash,
/// the session is completed first.
pub async fn head(call: &Call, id: Uuid) -> Result<HttpResponse, Problem> {
    let upload = finished_if_full(call, call.session_after_stopping_writer(id).await?).await?;
    let mut response = progress(call, HttpResponse::Ok(), &upload);
    match upload.length() {
        Some(length) => response.insert_header((tus::UPLOAD_LENGTH.clone(), length)),
        None => response.insert_header((tus::UPLOAD_DEFER_LENGTH.clone(), tus::DEFERRED)),
    };
    response.insert_header((tus::UPLOAD_METADATA.clone(), metadata_of(&upload)));
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.finish())
}

pub async fn append(call: &Call, id: Uuid, payload: Payload) -> Result<HttpResponse, Problem> {
    let upload = call.session(id).await?;
    must_be_bytes(call)?;
    let headers = call.request.headers();
    let offset = tus::number(headers, &tus::UPLOAD_OFFSET)?
        .ok_or_else(|| malformed("Upload-Offset, the offset of the first byte, is missing"))?;
    let told = tus::number(headers, &tus::UPLOAD_LENGTH)?;
    if told.zip(upload.length()).is_some_and(|(told, known)| told != known) {
        return Err(malformed("Upload-Length is not the length that was stated before"));
    }
    let (length, is_end) = (call.body_length()?, offset == upload.size);
    if upload.state == UploadState::Complete && length == Some(0) && is_end {
        // A repeat, by a client that missed the response to the request that stated the length.
        return Ok(progress(call, HttpResponse::NoContent(), &upload).finish());
    }
    let file_length = told.filter(|_| upload.length().is_none());
    let checksum = checksum(call)?;
    let append = Append { offset, length, checksum, file_length };
    let appended = call.append(id, append, payload).await.map_err(with_status_of_tus)?;
    let upload = finished_if_full(call, appended).await?;
    Ok(progress(call, HttpResponse::NoContent(), &upload).finish())
}

fn announcement(call: &Call, condition: Precondition) -> Result<Announcement, Problem> {
    let headers = call.request.headers();
    if headers.contains_key(&tus::UPLOAD_CONCAT) {
        return Err(malformed("Upload-Concat: the concatenation extension is not supported"));
    }
    let size = match (tus::number(headers, &tus::UPLOAD_LENGTH)?, tus::is_deferred(headers)?) {
        (Some(_), true) => {
            return Err(malformed("Upload-Length and Upload-Defer-Length contradict each other"));
        }
        (None, false) => {
            let detail = "state the file's size in Upload-Length, or send Upload-Defer-Length: 1 to state it later";
            return Err(Problem::new(Code::UploadLengthRequired, detail));
        }
        (size, _) => size,
    };
    let metadata = Metadata::read(headers)?;
    Ok(Announcement {
        image: named(&metadata, "image")?,
        revision: named(&metadata, "revision")?,
        role: named(&metadata, "role")?,
        size,
        digest: metadata.text("digest").map(|_| named(&metadata, "digest")).transpose()?,
        metadata: metadata.as_sent,
        condition,
        protocol: UploadProtocol::Tus,
    })
}

fn named<T: std::str::FromStr>(metadata: &Metadata, key: &'static str) -> Result<T, Problem> {
    let text = metadata.text(key).ok_or_else(|| {
        Error::invalid(
            "Upload-Metadata",
            format!("{key} is missing or not text; image, revision and role name the target"),
        )
    })?;
    let value = text.parse();
    value.map_err(|_| Error::invalid("Upload-Metadata", format!("invalid {key}: {text:?}")).into())
}

/// Returns the bytes in the request itself, if any.
fn first_append(call: &Call, size: Option<u64>) -> Result<Option<Append>, Problem> {
    let length = call.body_length()?;
    // HTTP/2 may leave it open whether there is a body.
    if length == Some(0) || (length.is_none() && call.content_type().is_none()) {
        return Ok(None);
    }
    must_be_bytes(call)?;
    // Refused before there is a session that would be left behind.
    if let Some((end, size)) = length.zip(size).filter(|(length, size)| length > size) {
        return Err(Error::BeyondEnd { size, end }.into());
    }
    Ok(Some(Append { offset: 0, length, checksum: checksum(call)?, file_length: None }))
}

fn must_be_bytes(call: &Call) -> Result<(), Problem> {
    if call.content_type().as_deref() == Some(tus::CONTENT_TYPE) {
        must_promise_no_other(&call.request, &[Algorithm::Sha1, Algorithm::Sha256])?;
        return must_be_uncoded(&call.request);
    }
    let detail = "a tus request must send its bytes as application/offset+octet-stream";
    Err(Problem::new(Code::OffsetOctetStreamExpected, detail))
}

fn checksum(call: &Call) -> Result<Option<Checksum>, Problem> {
    Ok(tus::checksum(call.request.headers())?.map(|checksum| match checksum {
        tus::Checksum::Sha1(bytes) => Checksum::Sha1(bytes),
        tus::Checksum::Sha256(bytes) => Checksum::Sha256(bytes),
    }))
}

/// Completes a full upload. tus has no message for the end of an upload: its last byte ends it.
async fn finished_if_full(call: &Call, mut upload: Upload) -> Result<Upload, Problem> {
    if upload.state == UploadState::Receiving && upload.is_full() {
        call.finish(upload.id).await?;
        upload.state = UploadState::Complete;
    }
    Ok(upload)
}

fn progress(
    call: &Call,
    mut response: HttpResponseBuilder,
    upload: &Upload,
) -> HttpResponseBuilder {
    response.insert_header((tus::UPLOAD_OFFSET.clone(), upload.received));
    if let Some(at) = call.expires_at(upload) {
        response.insert_header((tus::UPLOAD_EXPIRES.clone(), tus::write_expires(at)));
    }
    response
}

/// Returns the metadata as it was sent. For an upload that another protocol began, it names the target.
fn metadata_of(upload: &Upload) -> String {
    if let Some(as_sent) = &upload.metadata {
        return as_sent.clone();
    }
    let revision = upload.revision.to_string();
    let pairs =
        [("image", upload.image.as_str()), ("revision", &revision), ("role", upload.role.as_str())];
    Metadata::write(&pairs)
}

fn with_status_of_tus(problem: Problem) -> Problem {
    match (problem.code(), StatusCode::from_u16(CHECKSUM_MISMATCH)) {
        (Code::ChecksumMismatch, Ok(status)) => problem.with_status(status),
        _ => problem,
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Code::MalformedUploadHeader, detail)
}

impl From<MalformedField> for Problem {
    fn from(error: MalformedField) -> Self {
        malformed(&error.to_string())
    }
}
