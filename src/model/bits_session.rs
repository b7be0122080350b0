//! BITS sessions, and the pattern that finds the image in a file's name.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use regex::Regex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::file_role::FileRole;
use super::name::ImageName;
use super::row::{from_row, stored_as_text};

/// The state of a BITS session. A session that was cancelled or has expired has no row any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BitsSessionState {
    /// It has a name but no size yet: the size comes with the first fragment.
    Open,
    /// It has a draft. Its upload is being created, or a crash prevented that.
    Claimed,
    /// It has an upload, which has the same id.
    Receiving,
    /// Its bytes are the draft's file, and everything that follows from that is done.
    Complete,
    /// The client has ended it. The row is kept for a while, for clients that missed the answer.
    Closed,
}

stored_as_text!(BitsSessionState);

/// A BITS session. It has a name before it has a size, and therefore exists before its upload does.
#[derive(Debug, Clone)]
pub struct BitsSession {
    /// The id of the session and of its upload.
    pub id: Uuid,
    /// The destination's file name, as the client requested it.
    pub file_name: String,
    pub image: ImageName,
    pub role: FileRole,
    pub state: BitsSessionState,
    /// The draft that receives the file; set from `Claimed` on.
    pub revision_id: Option<Uuid>,
    /// The size of the whole file in bytes; set from `Claimed` on.
    pub size: Option<u64>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    /// The time of the last change of state. Progress is recorded in the upload.
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

/// The rule that finds the image's name in a file's name without its extension: a regular expression with the group
/// `image`, which has to match the whole name.
#[derive(Debug, Clone)]
pub struct NamePattern(Regex);

/// The reason why a text is not such a pattern.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNamePattern {
    #[error("{0}")]
    Regex(#[from] regex::Error),
    #[error("it needs the group (?<image>…), which matches the image's name")]
    NoImage,
}

impl NamePattern {
    /// The default pattern. Both `win7-office` and `win7-office_12` (the form of names in the tree) name the image
    /// `win7-office`.
    pub const DEFAULT: &str = r"(?<image>.+?)(?:_[0-9]+)?";

    /// The same pattern, which also reads the number as the revision's number.
    pub const WITH_REVISION: &str = r"(?<image>.+?)(?:_(?<revision>[0-9]+))?";

    /// Returns the image and, from the group `revision`, the revision's number. Returns none if the name does not
    /// match, contains no valid image name, or has a revision number that is not positive.
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

    /// Returns the image that a file is for, or none if the name does not match or contains no valid image name.
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
