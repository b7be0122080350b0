//! The content of requests of the IETF draft: about the upload that they begin, and about the bytes that they bring.

use actix_web::web::Query;
use serde::Deserialize;

use super::refusal::{inconsistent, malformed, partial_upload_expected};
use crate::api::conventions::file_body::{
    digest_in, digest_of_whole, must_be_plain_bytes, must_be_uncoded, must_promise_no_other,
};
use crate::api::conventions::problem::{Code, Problem};
use crate::api::uploads::session::{Append, Call};
use crate::catalog::upload::Checksum;
use crate::model::{Digest, FileRole, ImageName, Upload};
use crate::wire::digest_fields::{CONTENT_DIGEST, REPR_DIGEST};
use crate::wire::promised_digests::Algorithm;
use crate::wire::resumable as fields;

/// The file that an upload will become.
#[derive(Debug, Clone, Deserialize)]
pub struct UploadTarget {
    pub image: ImageName,
    pub revision: i64,
    pub role: FileRole,
}

impl UploadTarget {
    /// Reads the target from the query of `POST /uploads`.
    pub fn in_query(call: &Call) -> Result<Self, Problem> {
        let query = Query::<Self>::from_query(call.request.query_string());
        query.map(Query::into_inner).map_err(|error| {
            let detail = format!("the query must name image, revision and role: {error}");
            Problem::new(Code::BadQuery, detail)
        })
    }
}

/// The content of a request that begins an upload.
pub struct Creation {
    /// The size of the whole file in bytes; none if only its end shows it.
    pub size: Option<u64>,
    pub digest: Option<Digest>,
    /// The bytes in the same request, if any.
    pub first: Option<Append>,
    /// True if these bytes are the whole file.
    pub complete: bool,
}

impl Creation {
    pub fn read(call: &Call) -> Result<Self, Problem> {
        must_be_plain_bytes(&call.request)?;
        must_promise_no_other(&call.request, &[Algorithm::Sha256])?;
        let headers = call.request.headers();
        let complete = fields::complete(headers).unwrap_or(false);
        let body = call.body_length()?;
        let size = match (fields::length(headers), body.filter(|_| complete)) {
            (Some(length), Some(body)) if length != body => return Err(inconsistent()),
            (length, whole) => length.or(whole),
        };
        if body.zip(size).is_some_and(|(body, size)| body > size) {
            return Err(inconsistent());
        }
        // For a whole file, both digests mean the same. Taken as the file's digest, it does not discard the bytes that
        // arrived before a connection broke, as a checksum of this request's bytes would.
        let (digest, checksum) = if complete {
            (digest_of_whole(&call.request)?, None)
        } else {
            (digest_in(&call.request, &REPR_DIGEST)?, content_checksum(call)?)
        };
        let first = (body != Some(0)).then_some(Append {
            offset: 0,
            length: body,
            checksum,
            file_length: None,
        });
        Ok(Self { size, digest, first, complete })
    }
}

/// The content of a request that continues an upload.
pub struct Continuation {
    pub append: Append,
    /// True if the bytes end the file.
    pub complete: bool,
}

impl Continuation {
    pub fn read(call: &Call, upload: &Upload) -> Result<Self, Problem> {
        // Generated clients send a general type for bytes, or none, with every file. That is clear enough, because the
        // headers say where the bytes belong.
        let known = [fields::CONTENT_TYPE, "application/octet-stream"];
        if call.content_type().is_some_and(|essence| !known.contains(&essence.as_str())) {
            return Err(partial_upload_expected());
        }
        must_be_uncoded(&call.request)?;
        must_promise_no_other(&call.request, &[Algorithm::Sha256])?;
        let headers = call.request.headers();
        let complete = fields::complete(headers)
            .ok_or_else(|| malformed("Upload-Complete must be ?1 at the file's end, else ?0"))?;
        let offset = fields::offset(headers).ok_or_else(|| {
            malformed("Upload-Offset must be the offset of the first byte, a whole number from 0")
        })?;
        let (length, checksum) = (call.body_length()?, content_checksum(call)?);
        let end = length.filter(|_| complete).map(|length| offset.saturating_add(length));
        let told = fields::length(headers);
        if told.zip(upload.length()).is_some_and(|(told, known)| told != known) {
            return Err(inconsistent());
        }
        let file_length = match upload.length() {
            Some(_) => None,
            None if told.zip(end).is_some_and(|(told, end)| told != end) => {
                return Err(inconsistent());
            }
            None => told.or(end),
        };
        Ok(Self { append: Append { offset, length, checksum, file_length }, complete })
    }
}

fn content_checksum(call: &Call) -> Result<Option<Checksum>, Problem> {
    let digest = digest_in(&call.request, &CONTENT_DIGEST)?;
    Ok(digest.map(|digest| Checksum::Sha256(*digest.as_bytes())))
}
