//! `/images`: the images and their settings.

mod query;

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conventions::body::{JsonBody, LARGE, given};
use super::conventions::caller::Caller;
use super::conventions::conditional::{Condition, Resource, Unchanged};
use super::conventions::dry_run::DryRun;
use super::conventions::label_map::LabelMap;
use super::conventions::page::{Page, PageQuery};
use super::conventions::problem::{ChangeRefusals, Problem, ReadRefusals};
use super::conventions::sample;
use super::conventions::triable_change::TriableChange;
use super::depot::Depot;
use crate::access::permission::{Administer, Publish, Read};
use crate::catalog::image::{ImageChange, ImageDefinition};
use crate::model::{Image, ImageKind, ImageName, Labels};
use query::{ImageQuery, LabelQuery};

/// An image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image, example = json!(Self::sample()))]
pub struct ImageBody {
    name: String,
    kind: ImageKind,
    /// The extension of the published files.
    extension: String,
    description: String,
    #[schema(value_type = LabelMap)]
    labels: Labels,
    /// The number of sealed revisions that retention keeps; null keeps all.
    #[schema(required = true)]
    keep_revisions: Option<i64>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ImageBody {
    fn sample() -> Self {
        Self {
            name: sample::IMAGE.to_owned(),
            kind: ImageKind::Medv,
            extension: "ckm".to_owned(),
            description: "Windows 7 with Office 2010".to_owned(),
            labels: Labels::from([("owner".to_owned(), "desktop-team".to_owned())]),
            keep_revisions: None,
            created_by: sample::ADMIN.to_owned(),
            created_at: sample::time("2026-01-05T09:30:00Z"),
            updated_at: sample::time("2026-01-05T09:30:00Z"),
        }
    }
}

impl From<Image> for ImageBody {
    fn from(image: Image) -> Self {
        Self {
            name: image.name.to_string(),
            kind: image.kind,
            extension: image.extension,
            description: image.description,
            labels: image.labels,
            keep_revisions: image.keep_revisions,
            created_by: image.created_by,
            created_at: image.created_at,
            updated_at: image.updated_at,
        }
    }
}

/// A new image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImageToCreate, example = json!({"name": "win7-office", "kind": "medv", "description": "Windows 7 with Office 2010"}))]
pub struct NewImage {
    /// 1 to 100 letters, digits, `.`, `_` or `-`; unique without regard to case, and no Windows device name.
    #[schema(value_type = String, format = "image-name")]
    name: ImageName,
    kind: ImageKind,
    /// The extension of the published file of kind `single`, such as `vhdx`; `img` if omitted.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9]{1,16}$")]
    extension: Option<String>,
    #[serde(default)]
    #[schema(max_length = 10_000)]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<LabelMap>)]
    labels: Option<Labels>,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    keep_revisions: Option<i64>,
}

/// The changes to an image; omitted fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "Windows 7 with Office 2010 SP2", "keep_revisions": 10}))]
pub struct ChangedImage {
    #[serde(default)]
    #[schema(max_length = 10_000)]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<LabelMap>)]
    labels: Option<Labels>,
    /// The number of sealed revisions that retention keeps; null keeps all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000)]
    keep_revisions: Option<Option<i64>>,
}

/// List images
///
/// Returns the images that the caller may know of, sorted by name. All conditions that are given have to hold.
#[utoipa::path(tag = "images", operation_id = "list_images", params(PageQuery, ImageQuery, LabelQuery), responses(
    (status = 200, description = "A page of images", body = Page<ImageBody>), ReadRefusals
))]
#[get("/images")]
pub async fn list(
    caller: Caller<Read>,
    depot: Data<Depot>,
    page: Query<PageQuery>,
    query: Query<ImageQuery>,
    labels: LabelQuery,
) -> Result<Page<ImageBody>, Problem> {
    let filter = depot.catalog.image_filter(query.into_inner().with(labels))?;
    let from = async |after: Option<String>, limit| {
        depot.catalog.images(&after.unwrap_or_default(), limit).await
    };
    let key = |image: &Image| image.name.key();
    let is_shown = |image: &Image| caller.identity().covers(&image.name) && filter.covers(image);
    let images = page.visible(from, key, is_shown);
    page.page(images.await?, key, Into::into)
}

/// Create an image
///
/// Creates an image without revisions. The name of a deleted image may be used again; its revision numbers then
/// continue where they ended.
#[utoipa::path(tag = "images", operation_id = "create_image", request_body = NewImage, responses(
    (status = 201, description = "The image", body = ImageBody), ChangeRefusals
))]
#[post("/images")]
pub async fn create(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    new: JsonBody<NewImage, LARGE>,
) -> Result<Resource<ImageBody>, Problem> {
    let new = new.read()?;
    caller.may_create(&new.name)?;
    let definition = ImageDefinition {
        name: new.name,
        kind: new.kind,
        extension: new.extension,
        description: new.description.unwrap_or_default(),
        labels: new.labels.unwrap_or_default(),
        keep_revisions: new.keep_revisions,
    };
    let image = depot.catalog.create_image(&caller.actor(), &definition).await?;
    Ok(Resource::created(image.tag(), format!("/api/v1/images/{}", image.name), image.into()))
}

/// Show an image
#[utoipa::path(tag = "images", operation_id = "get_image",
    description = "Returns the image, with an `ETag` for conditional changes.",
    params(("image" = String, Path, description = "The image's name")),
    responses((status = 200, description = "The image", body = ImageBody), Unchanged, ReadRefusals)
)]
#[get("/images/{image}")]
pub async fn show(
    caller: Caller<Read>,
    depot: Data<Depot>,
    name: Path<ImageName>,
) -> Result<Resource<ImageBody>, Problem> {
    caller.may_know(&name)?;
    let image = depot.catalog.image(&name).await?;
    Ok(Resource::tagged(image.tag(), image.into()))
}

/// Change an image
///
/// Changes the description, the labels or the retention. The name and the kind never change. Honours `If-Match`.
#[utoipa::path(tag = "images", operation_id = "change_image", request_body = ChangedImage,
    params(("image" = String, Path, description = "The image's name")),
    responses((status = 200, description = "The changed image", body = ImageBody), ChangeRefusals)
)]
#[patch("/images/{image}")]
pub async fn change(
    caller: Caller<Publish>,
    depot: Data<Depot>,
    name: Path<ImageName>,
    condition: Condition,
    changed: JsonBody<ChangedImage, LARGE>,
) -> Result<Resource<ImageBody>, Problem> {
    caller.may_know(&name)?;
    let ChangedImage { description, labels, keep_revisions } = changed.read()?;
    let change = ImageChange { description, labels, keep_revisions };
    let image = depot.catalog.change_image(&caller.actor(), &name, change, &condition.0).await?;
    Ok(Resource::tagged(image.tag(), image.into()))
}

/// Delete an image
///
/// Deletes the image and all its revisions. Refused while one of them is assigned to a channel or protected. Their
/// numbers are never used again.
#[utoipa::path(tag = "images", operation_id = "delete_image",
    params(("image" = String, Path, description = "The image's name"), DryRun),
    responses((status = 204, description = "The image is deleted"), ChangeRefusals)
)]
#[delete("/images/{image}")]
pub async fn delete(
    caller: Caller<Administer>,
    depot: Data<Depot>,
    name: Path<ImageName>,
    attempt: TriableChange,
) -> Result<HttpResponse, Problem> {
    caller.may_know(&name)?;
    depot.catalog.delete_image(attempt.by(&caller.actor()), &name).await?;
    Ok(HttpResponse::NoContent().finish())
}
