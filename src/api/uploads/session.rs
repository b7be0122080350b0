//! An upload as the API shows it, and what the upload protocols have in common.

use actix_web::http::{Version, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{Body, take_in};
use crate::access::permission::Publish;
use crate::api::conventions::caller::Caller;
use crate::api::conventions::problem::{Code, Problem};
use crate::api::conventions::sample;
use crate::api::depot::Depot;
use crate::catalog::Error;
use crate::catalog::upload::{Announcement, Checksum, Piece, Received, StartAt};
use crate::model::{FileRole, Upload, UploadProtocol, UploadState};

/// A resumable upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload, example = json!(Self::sample()))]
pub struct UploadBody {
    id: Uuid,
    image: String,
    revision: i64,
    role: FileRole,
    /// The size of the whole file in bytes; null while it is unknown.
    #[schema(required = true)]
    size: Option<u64>,
    /// The number of bytes on stable storage, which is the offset to continue from.
    received: u64,
    state: UploadState,
    protocol: UploadProtocol,
    /// The SHA-256 digest, `sha256:` and 64 hexadecimal digits, if the uploader named it.
    #[schema(required = true)]
    digest: Option<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    /// The time of the last progress.
    updated_at: DateTime<Utc>,
    /// The time at which the upload expires if it makes no progress; null for a complete one.
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
}

impl UploadBody {
    fn sample() -> Self {
        Self {
            id: sample::ID,
            image: sample::IMAGE.to_owned(),
            revision: 12,
            role: FileRole::Ckm,
            size: Some(21_474_836_480),
            received: 8_589_934_592,
            state: UploadState::Receiving,
            protocol: UploadProtocol::Tus,
            digest: None,
            created_by: "kim".to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:41:00Z"),
            expires_at: Some(sample::time("2026-01-19T09:41:00Z")),
        }
    }
}

impl UploadBody {
    pub fn new(depot: &Depot, upload: &Upload) -> Self {
        Self {
            id: upload.id,
            image: upload.image.to_string(),
            revision: upload.revision,
            role: upload.role,
            size: upload.length(),
            received: upload.received,
            state: upload.state,
            protocol: upload.protocol,
            digest: upload.digest.map(|digest| digest.to_string()),
            created_by: upload.created_by.clone(),
            created_at: upload.created_at,
            updated_at: upload.updated_at,
            expires_at: expires_at(depot, upload),
        }
    }
}

/// Returns the time at which an upload expires if it makes no progress, or none if it is complete.
fn expires_at(depot: &Depot, upload: &Upload) -> Option<DateTime<Utc>> {
    let open = upload.state == UploadState::Receiving;
    open.then(|| depot.catalog.upload_expires_at(upload))
}

/// Returns the problem for an upload whose body broke off. A client receives it if it has closed only its own direction
/// of the connection.
fn broken_off() -> Problem {
    let detail =
        "the upload was interrupted before its Location was sent; nothing was kept: start it again";
    Problem::new(Code::BodyTruncated, detail)
}

/// A request about an upload, with everything that is needed to answer it.
pub struct Call {
    pub caller: Caller<Publish>,
    pub depot: Data<Depot>,
    pub request: HttpRequest,
}

/// The description of the bytes in a request.
#[derive(Debug, Clone, Copy)]
pub struct Append {
    pub offset: u64,
    /// The number of bytes; none for a body in chunks.
    pub length: Option<u64>,
    pub checksum: Option<Checksum>,
    /// The size of the whole file, if it was unknown and this request states it.
    pub file_length: Option<u64>,
}

impl Call {
    /// Returns the session, if the caller may know of it: its owner and administrators may, within their images.
    pub async fn session(&self, id: Uuid) -> Result<Upload, Problem> {
        let upload = self.depot.catalog.upload(&self.caller.actor(), id).await?;
        self.may_know(upload)
    }

    /// Returns the session like [`Self::session`], with the offset to continue from. A request that is still writing is
    /// asked to stop first.
    pub async fn session_after_stopping_writer(&self, id: Uuid) -> Result<Upload, Problem> {
        self.session(id).await?;
        let upload = self.depot.catalog.stop_writer(&self.caller.actor(), id).await?;
        self.may_know(upload)
    }

    fn may_know(&self, upload: Upload) -> Result<Upload, Problem> {
        match self.caller.may_know(&upload.image) {
            Ok(()) => Ok(upload),
            Err(_) => Err(Error::UploadNotFound.into()),
        }
    }

    /// Creates the session. That of an empty file is full from the start; completing it is left to the caller.
    pub async fn create(&self, announced: Announcement) -> Result<Upload, Problem> {
        self.caller.may_know(&announced.image)?;
        Ok(self.depot.catalog.create_upload(&self.caller.actor(), announced).await?)
    }

    /// Appends the bytes in the request that created the session. No client knows of the session before a response
    /// names it. If the bytes are refused because of their content, or if the connection breaks, the session is
    /// deleted: no client could find it again, and the space that it has reserved would be taken until it expires.
    pub async fn append_first(
        &self,
        upload: Upload,
        append: Append,
        payload: Payload,
    ) -> Result<Upload, Problem> {
        let untold = self.depot.catalog.untold(self.caller.actor(), upload.id);
        let appended = self.append(upload.id, append, payload).await;
        match appended {
            Err(problem)
                if [Code::BodyTruncated, Code::ChecksumMismatch].contains(&problem.code()) =>
            {
                self.cancel(upload.id).await?;
                untold.is_told();
                Err(if problem.code() == Code::BodyTruncated { broken_off() } else { problem })
            }
            told => {
                untold.is_told();
                told.map_err(|problem| self.with_location(problem, upload.id))
            }
        }
    }

    pub async fn append(
        &self,
        id: Uuid,
        append: Append,
        payload: Payload,
    ) -> Result<Upload, Problem> {
        let (start, actor) = (StartAt::Exactly(append.offset), self.caller.actor());
        let Append { length, checksum, file_length, .. } = append;
        let piece = Piece { start, length, checksum, file_length };
        let opening = self.depot.catalog.append(&actor, id, piece);
        let mut body = Body::new(&self.request, payload);
        let appending = body.while_opening(opening).await?;
        take_in(appending, body, 0).await
    }

    /// Sets the end of the file to the bytes that have arrived, if its length was not stated.
    pub async fn end_here(&self, upload: Upload) -> Result<Upload, Problem> {
        if upload.length().is_some() {
            return Ok(upload);
        }
        let (actor, end) = (self.caller.actor(), upload.received);
        Ok(self.depot.catalog.end_upload_at(&actor, upload.id, end).await?)
    }

    /// Hands the file of a full session to its draft.
    pub async fn finish(&self, id: Uuid) -> Result<Received, Problem> {
        Ok(self.depot.catalog.finish_upload(&self.caller.actor(), id).await?)
    }

    pub async fn cancel(&self, id: Uuid) -> Result<HttpResponse, Problem> {
        self.depot.catalog.cancel_upload(&self.caller.actor(), id).await?;
        Ok(HttpResponse::NoContent().finish())
    }

    /// Returns the address at which an upload is continued.
    pub fn location(&self, id: Uuid) -> String {
        self.depot.links.api(&format!("uploads/{id}"))
    }

    pub fn expires_at(&self, upload: &Upload) -> Option<DateTime<Utc>> {
        expires_at(&self.depot, upload)
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.depot.catalog.clock().now()
    }

    fn with_location(&self, problem: Problem, id: Uuid) -> Problem {
        match self.location(id).try_into() {
            Ok(location) => problem.with_header(header::LOCATION, location),
            Err(_) => problem,
        }
    }

    /// Returns the length of the request's body, like [`body_length`].
    pub fn body_length(&self) -> Result<Option<u64>, Problem> {
        body_length(&self.request)
    }

    /// Returns the media type of the request's body without its parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let field = self.request.headers().get(header::CONTENT_TYPE)?;
        let essence = field.to_str().unwrap_or("?").split(';').next().unwrap_or_default();
        Some(essence.trim().to_ascii_lowercase())
    }
}

/// Returns the number of bytes in a request's body, or none if only its end shows it.
pub fn body_length(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let headers = request.headers();
    let Some(field) = headers.get(header::CONTENT_LENGTH) else {
        let comes_in_pieces =
            headers.contains_key(header::TRANSFER_ENCODING) || request.version() >= Version::HTTP_2;
        return Ok(if comes_in_pieces { None } else { Some(0) });
    };
    let length = field.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| {
        let detail = "Content-Length must be a number of bytes";
        Problem::new(Code::BadLength, detail)
    })
}
