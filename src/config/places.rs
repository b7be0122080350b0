//! Where things lie: the catalog, the bytes, the published tree.

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
    /// To PostgreSQL, at most; one more listens for other servers' changes.
    pub connections: u32,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        Self { url: None, connections: CONNECTIONS }
    }
}

/// A database's address may hold its password.
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
    /// `file:///…`, `s3://bucket/prefix`, `az://…` or `gs://…`; without it `blobs` in the data folder.
    pub url: Option<Url>,
    /// Names and values that the store's client knows (`object_store`'s own).
    pub options: std::collections::BTreeMap<String, String>,
    /// Free bytes that uploads leave on the disk, for the database to go on.
    pub min_free: ByteSize,
    /// How long the bytes of deleted revisions stay.
    #[serde(with = "humantime_serde")]
    pub safety_age: Duration,
    /// Larger files are published into a bucket by copies in parts of this size: S3 copies 5 GB at once.
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

/// Options may be keys.
impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `[tree]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tree {
    /// A folder where the store is one, else a bucket of the same service; without it `MEDVImages` in the data folder, or
    /// below the store's prefix.
    pub url: Option<Url>,
    /// The first part of the tree's HTTP paths.
    pub alias: String,
    /// How published files are named.
    pub pattern: String,
    /// How long a withdrawn file stays for those who are fetching it.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Whether downloads of files are sent to the bucket itself, with an address that is good for an hour.
    pub redirect: bool,
    /// Downloads at once, in all; past them 503 with `Retry-After`. 0 is no limit.
    pub max_downloads: usize,
    /// The same for one client's address.
    pub max_downloads_per_client: usize,
    /// Bytes a second that downloads may take, in all; past it they wait, and new ones get 503. 0 is
    /// no limit.
    pub bandwidth: ByteSize,
    /// The same for one client's address.
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

/// Another prefix below that of a bucket.
pub(super) fn below(bucket: &Url, name: &str) -> Url {
    let mut url = bucket.clone();
    url.set_path(&format!("{}/{name}", bucket.path().trim_end_matches('/')));
    url
}

pub(super) fn local_folder(key: &str, url: Option<&Url>) -> Result<PathBuf, ConfigError> {
    url.filter(|url| url.scheme() == "file")
        .and_then(|url| url.to_file_path().ok())
        .ok_or_else(|| ConfigError(format!("{key}: a folder of this machine, as file:///path")))
}
