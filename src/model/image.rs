//! An image: a named thing that has revisions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::file_role::FileRole;
use super::name::ImageName;
use super::row::{from_row, stored_as_text};
use super::tag;

/// What an image consists of. Fixed when the image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// A MED-V image: a `.ckm` and its `.ckm.index`, both required, both opaque.
    Medv,
    /// One file with an extension of its own: vhdx, qcow2, iso, wim.
    Single,
}

stored_as_text!(ImageKind);

impl ImageKind {
    /// The roles that a revision must fill before it can be sealed, in the order of publication:
    /// clients fetch the index first, so it appears last.
    pub const fn roles(self) -> &'static [FileRole] {
        match self {
            Self::Medv => &[FileRole::Ckm, FileRole::Index],
            Self::Single => &[FileRole::Image],
        }
    }
}

/// Whether a text can be the extension of published files: 1 to 16 letters and digits. Which of them a new image may have says
/// the catalog.
pub fn is_extension(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Free words that an administrator hangs on an image or a revision.
pub type Labels = BTreeMap<String, String>;

/// What the snapshot keeps of an image: what update checks and manifests ask of it. Not the whole, for the descriptions
/// and labels of 100,000 images would fill the memory.
#[derive(Debug, Clone)]
pub struct OfferedImage {
    pub id: Uuid,
    pub name: ImageName,
}

from_row!(OfferedImage { id, name });

/// An image as the catalog knows it.
#[derive(Debug, Clone)]
pub struct Image {
    pub id: Uuid,
    pub name: ImageName,
    pub kind: ImageKind,
    /// The `{ext}` of the published files: `ckm`, or what kind `single` was given.
    pub extension: String,
    pub description: String,
    pub labels: Labels,
    /// How many sealed revisions retention leaves; none keeps all.
    pub keep_revisions: Option<i64>,
    /// Raised by every change; the resource's `ETag`.
    pub version: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Set on an image that was deleted: its row keeps the counter, for the name may come back.
    pub deleted_at: Option<DateTime<Utc>>,
}

from_row!(Image {
    id,
    name,
    kind,
    extension,
    description,
    labels: json,
    keep_revisions,
    version,
    created_by,
    created_at,
    updated_at,
    deleted_at,
});

impl Image {
    /// Another one after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}
