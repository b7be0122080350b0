//! What BITS calls a session, and how a file's name tells which image it is for.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use regex::Regex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::file_role::FileRole;
use super::name::ImageName;
use super::row::{from_row, stored_as_text};

/// Where a BITS session is in its life. One that was cancelled or expired has no row any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BitsSessionState {
    /// It has a name and no size yet: that comes with the first fragment.
    Open,
    /// It has a draft; its upload is being made, or a crash came in between.
    Claimed,
    /// It has an upload, under its own id.
    Receiving,
    /// Its bytes are the draft's file, and what follows from that was done.
    Complete,
    /// The client has ended it. Kept for a while, for clients that missed the answer.
    Closed,
}

stored_as_text!(BitsSessionState);

/// A session of BITS: it has a name before it has a size, and so before there is an upload.
#[derive(Debug, Clone)]
pub struct BitsSession {
    /// Also that of its upload.
    pub id: Uuid,
    /// The destination's file name, as asked for.
    pub file_name: String,
    pub image: ImageName,
    pub role: FileRole,
    pub state: BitsSessionState,
    /// The draft that gets the file; from `Claimed` on.
    pub revision_id: Option<Uuid>,
    /// Of the whole file, in bytes; from `Claimed` on.
    pub size: Option<u64>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The last change of its state; the upload knows of progress.
    pub updated_at: DateTime<Utc>,
}

from_row!(BitsSession {
    id,
    file_name,
    image,
    role,
    state,
    revision_id,
    size: optional_size,
    created_by,
    created_at,
    updated_at,
});

/// How the image's name is found in a file's name without its extension: a regular expression with the
/// group `image`, which has to match the whole.
#[derive(Debug, Clone)]
pub struct NamePattern(Regex);

/// Why a text is no such pattern.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNamePattern {
    #[error("{0}")]
    Regex(#[from] regex::Error),
    #[error("it needs the group (?<image>…), which is the image's name")]
    NoImage,
}

impl NamePattern {
    /// `win7-office` and, as files of the tree are named, `win7-office_12` are both `win7-office`.
    pub const DEFAULT: &str = r"(?<image>.+?)(?:_[0-9]+)?";

    /// The same with the number as the revision's.
    pub const WITH_REVISION: &str = r"(?<image>.+?)(?:_(?<revision>[0-9]+))?";

    /// The image, and by the group `revision` the number; none where the name does not match, or names no image.
    pub fn image_and_revision(&self, name: &str) -> Option<(ImageName, Option<i64>)> {
        let found = self.0.captures(name)?;
        let image = found.name("image")?.as_str().parse().ok()?;
        let number = found.name("revision").map(|number| number.as_str().parse::<i64>());
        match number {
            None => Some((image, None)),
            Some(Ok(number)) if number > 0 => Some((image, Some(number))),
            Some(_) => None,
        }
    }

    /// The image that a file is for; none where the name does not match, or names no image.
    pub fn image(&self, name: &str) -> Option<ImageName> {
        self.0.captures(name)?.name("image")?.as_str().parse().ok()
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        Self::DEFAULT.parse().expect("the default is a pattern")
    }
}

impl FromStr for NamePattern {
    type Err = InvalidNamePattern;

    fn from_str(text: &str) -> Result<Self, InvalidNamePattern> {
        let regex = Regex::new(&format!("^(?:{text})$"))?;
        if regex.capture_names().flatten().any(|group| group == "image") {
            Ok(Self(regex))
        } else {
            Err(InvalidNamePattern::NoImage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pattern: &str, name: &str) -> Option<String> {
        let pattern: NamePattern = pattern.parse().unwrap();
        pattern.image(name).map(|image| image.to_string())
    }

    #[test]
    fn a_revision_s_number_behind_the_name_is_left_out_by_default() {
        for (name, found) in [
            ("win7-office", Some("win7-office")),
            ("win7-office_12", Some("win7-office")),
            ("win7_office", Some("win7_office")),
            ("win7_1_2", Some("win7_1")),
            ("9", Some("9")),
            ("_12", None),
            ("", None),
            ("a b", None),
            ("con", None),
        ] {
            assert_eq!(image(NamePattern::DEFAULT, name).as_deref(), found, "{name}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_name_whether_it_is_anchored_or_not() {
        assert_eq!(image("v[0-9]+-(?P<image>[a-z]+)", "v12-lab").as_deref(), Some("lab"));
        assert_eq!(image("^v[0-9]+-(?P<image>[a-z]+)$", "v12-lab").as_deref(), Some("lab"));
        assert_eq!(image("v[0-9]+-(?P<image>[a-z]+)", "xv12-lab"), None);
        assert_eq!(image("v[0-9]+-(?P<image>[a-z]+)", "v12-lab2"), None);
        assert_eq!(image("(?<image>a)|b", "b"), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<NamePattern>().unwrap_err().to_string();
        assert!(refused("(?<image>").contains("group"), "{}", refused("(?<image>"));
        assert!(refused("(.+)").contains("(?<image>"), "{}", refused("(.+)"));
    }
}
