//! The role of a file. The kind of an image determines which roles a revision has to fill.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::row::stored_as_text;

/// The role of a file in its revision.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The packed virtual machine of a MED-V image.
    Ckm,
    /// The list of the CKM's blocks, which clients fetch first.
    Index,
    /// The one file of an image of kind `single`.
    Image,
}

stored_as_text!(FileRole);

impl FileRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ckm => "ckm",
            Self::Index => "index",
            Self::Image => "image",
        }
    }
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FileRole {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ckm" => Ok(Self::Ckm),
            "index" => Ok(Self::Index),
            "image" => Ok(Self::Image),
            _ => Err(()),
        }
    }
}
