//! The notation of a place of backups: a folder of this machine, or a bucket. Anything else is refused, because it
//! would become a folder with a strange name on the same disk.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::model::local_folder::local_folder;

/// The URL schemes of buckets.
const BUCKETS: [&str; 3] = ["s3", "az", "gs"];

const FORMS: &str = "a place is a folder (/backup, file:///backup) or a bucket (s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX)";

/// The location of backups and exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Folder(PathBuf),
    Bucket(Url),
}

/// The reason why a text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; {FORMS}")]
pub struct UnknownPlace(String);

impl FromStr for Place {
    type Err = UnknownPlace;

    fn from_str(text: &str) -> Result<Self, UnknownPlace> {
        let refuse = |why: &dyn fmt::Display| UnknownPlace(why.to_string());
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_address = |scheme: &str| text[scheme.len()..].starts_with("://");
        match scheme.as_deref() {
            Some(scheme) if BUCKETS.contains(&scheme) && is_address(scheme) => {
                let url = Url::parse(text).map_err(|error| refuse(&error))?;
                if url.host_str().is_none_or(str::is_empty) {
                    return Err(refuse(&format!("{scheme}:// needs the name of a bucket")));
                }
                Ok(Self::Bucket(url))
            }
            Some("file") if is_address("file") => {
                let folder = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                folder.map(Self::Folder).ok_or_else(|| refuse(&"file:// names another machine"))
            }
            Some(scheme) if is_address(scheme) => {
                Err(refuse(&format!("{scheme}:// is not supported")))
            }
            _ => local_folder(text.into()).map(Self::Folder).map_err(|error| refuse(&error)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_places() {
        for folder in ["/backup", "backup", "./nas:x", "file:///backup"] {
            assert!(matches!(folder.parse(), Ok(Place::Folder(_))), "{folder}");
        }
        for bucket in ["s3://backups/x", "S3://backups", "az://container", "gs://bucket/a/b"] {
            assert!(matches!(bucket.parse(), Ok(Place::Bucket(_))), "{bucket}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_what_is_known() {
        for text in [
            "sftp://host/x",
            "ftp://host/x",
            "http://host/x",
            "https://host/x",
            "root@nas:/x",
            "nas:x",
            "s3:/x",
            "s3:///x",
            "file://nas/x",
            "",
        ] {
            let refused = text.parse::<Place>().unwrap_err().to_string();
            assert!(refused.contains("s3://BUCKET"), "{text}: {refused}");
        }
    }
}
