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

/// The set of files that an image consists of. It is fixed when the image is created.
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
    /// Returns the roles that a revision must fill before it can be sealed, in the order of publication. Clients fetch
    /// the index first, so it is published last.
    pub const fn roles(self) -> &'static [FileRole] {
        match self {
            Self::Medv => &[FileRole::Ckm, FileRole::Index],
            Self::Single => &[FileRole::Image],
        }
    }
}

/// Reports whether a text can be the extension of published files: 1 to 16 letters and digits. The catalog decides
/// which of these a new image may have.
pub fn is_extension(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Free-form labels that an administrator attaches to an image or a revision.
pub type Labels = BTreeMap<String, String>;

/// The part of an image that the snapshot keeps: what update checks and manifests need. The descriptions and labels of
/// 100,000 images would need too much memory.
#[derive(Debug, Clone)]
pub struct OfferedImage {
    pub id: Uuid,
    pub name: ImageName,
}

from_row!(OfferedImage { id, name });

/// An image, as stored in the catalog.
#[derive(Debug, Clone)]
pub struct Image {
    pub id: Uuid,
    pub name: ImageName,
    pub kind: ImageKind,
    /// The `{ext}` of the published files: `ckm`, or the extension given for kind `single`.
    pub extension: String,
    pub description: String,
    pub labels: Labels,
    /// The number of sealed revisions that retention keeps; none means all.
    pub keep_revisions: Option<i64>,
    /// The version, raised by every change; used for the resource's `ETag`.
    pub version: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The time when the image was deleted. The row of a deleted image keeps the revision counter, because the name may
    /// be used again.
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
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}
