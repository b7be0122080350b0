//! Uploads that begin with JSON, for scripts that only need a session to append to.

use actix_web::web::Payload;
use actix_web::{FromRequest as _, HttpResponse, Responder as _, body::BoxBody};
use serde::Deserialize;
use utoipa::ToSchema;

use super::session::{Call, UploadBody};
use crate::api::conventions::body::JsonBody;
use crate::api::conventions::conditional::Resource;
use crate::api::conventions::problem::Problem;
use crate::catalog::upload::Announcement;
use crate::catalog::{Error, Precondition};
use crate::model::{Digest, FileRole, ImageName, UploadProtocol, UploadState};

/// A new upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UploadToCreate, example = json!({"image": "win7-office", "revision": 12, "role": "ckm", "size": 21_474_836_480_u64}))]
pub struct NewUpload {
    /// The image's name.
    #[schema(value_type = String, format = "image-name")]
    image: ImageName,
    /// The draft's number.
    #[schema(minimum = 1)]
    revision: i64,
    role: FileRole,
    /// The size of the whole file, in bytes.
    size: u64,
    /// The SHA-256 digest, `sha256:` and 64 hexadecimal digits. The file is refused if it has a different one.
    #[serde(default)]
    #[schema(pattern = "^sha256:[0-9A-Fa-f]{64}$")]
    digest: Option<String>,
}

pub async fn create(
    call: &Call,
    condition: Precondition,
    payload: Payload,
) -> Result<HttpResponse<BoxBody>, Problem> {
    let Ok(body) = JsonBody::<_>::from_request(&call.request, &mut payload.into_inner()).await;
    let NewUpload { image, revision, role, size, digest } = body.read()?;
    let digest = digest.as_deref().map(named_digest).transpose()?;
    let protocol = UploadProtocol::Json;
    let (size, metadata) = (Some(size), None);
    let announced =
        Announcement { image, revision, role, size, digest, metadata, condition, protocol };
    let mut upload = call.create(announced).await?;
    // An empty file has no byte whose arrival would complete the upload.
    if upload.is_full() {
        call.finish(upload.id).await?;
        upload.state = UploadState::Complete;
    }
    let body = UploadBody::new(&call.depot, &upload);
    let created = Resource::created(upload.tag(), call.location(upload.id), body);
    Ok(created.respond_to(&call.request))
}

fn named_digest(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|error| Error::invalid("digest", error))
}
