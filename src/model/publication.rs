//! A publication: a file's presence in the tree, and the names of such files.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::digest::Digest;
use super::file_role::FileRole;
use super::name::ImageName;
use super::row::{from_row, stored_as_text};

/// The state of a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicationState {
    /// About to appear. The row is written first, so that after a crash the file is known to be imagedepot's.
    Publishing,
    /// In the tree, complete.
    Published,
    /// No longer offered. It stays until clients that are fetching it have had time to finish.
    Withdrawing,
    /// Its HTTP name is gone, and its file is about to be removed.
    Removing,
}

stored_as_text!(PublicationState);

/// The record of one file that imagedepot put into the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The path relative to the tree's root, with `/` between folder and file.
    pub path: String,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub digest: Digest,
    pub state: PublicationState,
    /// The time from which a withdrawn file may be removed.
    pub withdraw_at: Option<DateTime<Utc>>,
}

from_row!(Publication { path, channel_id, revision_id, role, blob_id, digest, state, withdraw_at });

/// The `Cache-Control` of a revision's file that everyone may read, wherever it is served from: the file never changes
/// under its name. One day, because a cache may serve a file that was revoked for that long. `no-transform`: a proxy
/// that changed its encoding would break ranges and digests.
pub const CACHE_IMMUTABLE: &str = "public, max-age=86400, immutable, no-transform";

/// The `Cache-Control` of the manifest, which may change at any moment; a proxy may absorb bursts of requests.
pub const CACHE_BRIEFLY: &str = "public, max-age=15, no-transform";

/// The `Cache-Control` of the mark of the tree's newest signed state: clients refuse a state that is older than another
/// one that they have seen, so a cache must not give out old ones for longer than a client asks again.
pub const CACHE_FOR_A_MOMENT: &str = "public, max-age=1, no-transform";

/// The headers of a file that imagedepot itself writes into the tree, wherever it is served from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedAs {
    pub content_type: &'static str,
    pub cache_control: &'static str,
}

/// Returns a path below the tree's root. Channels that publish at the root have an empty folder.
pub fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Reports whether a text is a valid path for one of imagedepot's own files below the tree's root: a plain name, or a
/// plain name in a channel's folder.
pub fn is_tree_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = |name: &str| {
        (1..=255).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
    };
    text.split('/').count() <= 2 && text.split('/').all(is_name)
}

/// The pattern for the names of published files, by default `{image}_{revision}.{ext}`. Index files have `.index`
/// appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern(String);

/// The error for a text that is not a valid file-name pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file-name pattern must contain {{image}} and {{revision}} once each, end in .{{ext}}, and otherwise have only \
     letters, digits, '.', '_' and '-'"
)]
pub struct InvalidPattern;

impl FilePattern {
    /// Returns the name under which a revision's file is published.
    pub fn file_name(
        &self,
        image: &ImageName,
        revision: i64,
        extension: &str,
        role: FileRole,
    ) -> String {
        let name = self
            .0
            .replace("{revision}", &revision.to_string())
            .replace("{ext}", extension)
            .replace("{image}", image.as_str());
        match role {
            FileRole::Index => name + ".index",
            FileRole::Ckm | FileRole::Image => name,
        }
    }
}

/// The parts of a published file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    pub image: ImageName,
    pub revision: i64,
    pub extension: String,
    pub is_index: bool,
}

impl FilePattern {
    /// Reads a name that was made with this pattern. Returns none for any other name.
    pub fn read(&self, name: &str) -> Option<NamedFile> {
        let (stem, is_index) = match name.strip_suffix(".index") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let expression = regex::escape(&self.0)
            .replace("\\{image\\}", "(?<image>.+)")
            .replace("\\{revision\\}", "(?<revision>[1-9][0-9]{0,14})")
            .replace("\\{ext\\}", "(?<ext>[A-Za-z0-9]{1,16})");
        let expression = regex::Regex::new(&format!("^{expression}$")).ok()?;
        let found = expression.captures(stem)?;
        let extension = found["ext"].to_owned();
        (!is_index || extension == "ckm").then_some(())?;
        Some(NamedFile {
            image: found["image"].parse().ok()?,
            revision: found["revision"].parse().ok()?,
            extension,
            is_index,
        })
    }
}

impl std::str::FromStr for FilePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let stem = text.strip_suffix(".{ext}").ok_or(InvalidPattern)?;
        if stem.matches("{image}").count() != 1 || stem.matches("{revision}").count() != 1 {
            return Err(InvalidPattern);
        }
        // Two placeholders side by side would let x1 revision 2 and x revision 12 share a name.
        if stem.contains("}{") || stem.starts_with('.') {
            return Err(InvalidPattern);
        }
        let rest = stem.replace("{image}", "").replace("{revision}", "");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if rest.chars().all(plain) { Ok(Self(text.to_owned())) } else { Err(InvalidPattern) }
    }
}

impl Default for FilePattern {
    fn default() -> Self {
        Self("{image}_{revision}.{ext}".to_owned())
    }
}

impl std::fmt::Display for FilePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_image_and_revision() {
        let pattern = FilePattern::default();
        let image = "win7-office".parse().unwrap();
        assert_eq!(pattern.file_name(&image, 12, "ckm", FileRole::Ckm), "win7-office_12.ckm");
        assert_eq!(
            pattern.file_name(&image, 12, "ckm", FileRole::Index),
            "win7-office_12.ckm.index"
        );
    }

    #[test]
    fn a_name_says_what_it_was_made_of() {
        for pattern in
            ["{image}_{revision}.{ext}", "{revision}-{image}.{ext}", "v.{image}.{revision}.{ext}"]
        {
            let pattern: FilePattern = pattern.parse().unwrap();
            for (image, extension, role) in [
                ("win7-office", "ckm", FileRole::Index),
                ("win7_2.ckm", "ckm", FileRole::Ckm),
                ("a.b", "qcow2", FileRole::Image),
            ] {
                let image: ImageName = image.parse().unwrap();
                let name = pattern.file_name(&image, 12, extension, role);
                let is_index = role == FileRole::Index;
                let expected =
                    NamedFile { image, revision: 12, extension: extension.to_owned(), is_index };
                assert_eq!(pattern.read(&name), Some(expected), "{name}");
            }
            assert_eq!(pattern.read("readme.txt"), None);
        }
    }

    #[test]
    fn a_pattern_that_could_name_two_files_alike_is_refused() {
        for text in [
            "{image}.{ext}",
            "{image}{revision}.{ext}",
            "x/{image}_{revision}.{ext}",
            "{image}_{revision}",
        ] {
            assert_eq!(text.parse::<FilePattern>(), Err(InvalidPattern), "{text}");
        }
    }
}
