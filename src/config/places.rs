//! The settings for the places of the catalog, the stored bytes and the published tree.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use crate::model::FilePattern;
use crate::storage::CONNECTIONS;

/// `[catalog]`
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSettings {
    /// `sqlite:PATH` or `postgres://…`; without it `catalog.sqlite` in the data folder.
    pub url: Option<String>,
    /// The most connections to PostgreSQL; one more listens for other servers' changes.
    pub connections: u32,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self { url: None, connections: CONNECTIONS }
    }
}

/// Leaves the URL out, because it may contain the database's password.
impl std::fmt::Debug for CatalogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogSettings")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// `[store]`
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `file:///…`, `s3://bucket/prefix`, `az://…` or `gs://…`; without it the folder `blobs` in the data folder.
    pub url: Option<Url>,
    /// Options of the store's client, under `object_store`'s own names.
    pub options: std::collections::BTreeMap<String, String>,
    /// The free bytes that uploads leave on the disk, so that the database can go on.
    pub min_free: ByteSize,
    /// The time for which the bytes of deleted revisions are kept.
    #[serde(with = "humantime_serde")]
    pub safety_age: Duration,
    /// The size above which files are published into a bucket in parts of this size: S3 copies at most 5 GB at once.
    pub multipart_copy_above: ByteSize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            options: std::collections::BTreeMap::new(),
            min_free: ByteSize::mib(256),
            safety_age: Duration::from_hours(1),
            multipart_copy_above: ByteSize::gb(5),
        }
    }
}

/// Leaves the options out, because they may be keys.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `[tree]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tree {
    /// A folder if the store is a folder, otherwise a bucket of the same service. Without it `MEDVImages` in the data
    /// folder, or below the store's prefix.
    pub url: Option<Url>,
    /// The first segment of the tree's HTTP paths.
    pub alias: String,
    /// The pattern for the names of published files.
    pub pattern: String,
    /// The time for which a withdrawn file stays, for clients that are downloading it.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Redirects downloads of files to the bucket itself, with an address that is valid for an hour.
    pub redirect: bool,
    /// The most downloads at once, in total; beyond it the answer is 503 with `Retry-After`. 0 means no limit.
    pub max_downloads: usize,
    /// The most downloads at once for one client's address. 0 means no limit.
    pub max_downloads_per_client: usize,
    /// The bytes per second that downloads may take, in total. Beyond it they wait, and new ones get 503. 0 means no
    /// limit.
    pub bandwidth: ByteSize,
    /// The bytes per second for one client's address. 0 means no limit.
    pub bandwidth_per_client: ByteSize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            url: None,
            alias: "MEDVImages".to_owned(),
            pattern: FilePattern::default().to_string(),
            grace: Duration::from_hours(24),
            redirect: false,
            max_downloads: 0,
            max_downloads_per_client: 0,
            bandwidth: ByteSize::b(0),
            bandwidth_per_client: ByteSize::b(0),
        }
    }
}

/// Returns the URL of a prefix below that of a bucket.
pub(super) fn below(bucket: &Url, name: &str) -> Url {
    let mut url = bucket.clone();
    url.set_path(&format!("{}/{name}", bucket.path().trim_end_matches('/')));
    url
}

pub(super) fn local_folder(key: &str, url: Option<&Url>) -> Result<PathBuf, ConfigError> {
    url.filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok()).ok_or_else(
        || ConfigError(format!("{key}: must be a folder of this machine, written as file:///path")),
    )
}
