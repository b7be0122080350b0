//! The place that a tree is read from, believed or not: the addresses of its files, and what fetching one may end in.

use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::header::CACHE_CONTROL;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::file_system;
use crate::model::Digest;
use crate::trust::role::{FOLDER, FileName, RoleName};
use crate::trust::walk::Seen;
use crate::trust::{Moment, Refusal, Target, Walk};

/// The largest sizes of files that are read, as python-tuf has them.
const LARGEST_ROOT: u64 = 512_000;
const LARGEST_TIMESTAMP: u64 = 16_384;
const LARGEST_SNAPSHOT: u64 = 2_000_000;
const LARGEST_TARGETS: u64 = 5_000_000;

/// The pause before a tree is asked again that was changing while it was read.
pub const ASK_AGAIN: Duration = Duration::from_millis(200);

/// An address of a tree, and the connection to whoever serves it.
#[derive(Debug, Clone)]
pub struct Source {
    pub connection: Connection,
    base: Url,
}

impl Source {
    /// Reads flags, environment and files, but sends nothing yet.
    pub fn open(server: &ServerArgs, address: &str) -> Result<Self, Failure> {
        let base = base(address)?;
        let connection = Connection::to_tree(server, &base)?;
        Ok(Self { connection, base })
    }

    /// Returns the address of the tree's root, with a slash at its end.
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Returns the address of a file by its path below the tree's root.
    pub fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|error| Failure::unreadable("address of a file", error))
    }

    /// Returns the path of a file of the tree below its root; none for an address that is elsewhere. Who serves the file
    /// does not matter.
    pub fn path_of(&self, url: &Url) -> Option<String> {
        let path = url.path().strip_prefix(self.base.path())?;
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        Some(path.into_owned())
    }

    /// Asks what the server answers for a file now, past any cache on the way: it may have a file for a day that is gone.
    pub async fn status(&self, path: &str, limit: Duration) -> Result<StatusCode, Failure> {
        let mut url = self.url(path)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        url.set_query(Some(&format!("asked={}", now.as_secs())));
        let request = self.connection.request(Method::HEAD, url).header(CACHE_CONTROL, "no-cache");
        let answer = request.timeout(limit).send().await;
        let answer = answer.map_err(|error| Failure::line(self.connection.server(), &error))?;
        Ok(answer.status())
    }

    /// Fetches a file of the metadata.
    pub async fn metadata(&self, file: FileName) -> Result<Vec<u8>, Trouble> {
        let (url, limit) = (self.url(&format!("{FOLDER}/{file}"))?, largest(file));
        let found = self.connection.get_bytes(url, limit).await;
        let found = found.map_err(|failure| failure.while_doing(&file.to_string()))?;
        Ok(found.ok_or_else(|| Refusal::TooLarge { file: file.to_string(), limit })?)
    }

    /// Fetches the next root, or none if the walk's is the newest. Some buckets answer 403 for what is not there.
    pub async fn next_root(&self, walk: &Walk) -> Result<Option<Vec<u8>>, Trouble> {
        match self.metadata(walk.next_root()).await {
            Ok(root) => Ok(Some(root)),
            Err(Trouble::Failed(failure))
                if matches!(failure.exit(), Exit::NotFound | Exit::Refused) =>
            {
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Fetches a small file that changes, such as `channel.json`, as it was signed.
    pub async fn document(&self, path: &str, target: &Target) -> Result<Vec<u8>, Trouble> {
        let url = self.url(path)?;
        let bytes = self.connection.get_bytes(url.clone(), target.length).await?;
        if let Some(bytes) = bytes.filter(|bytes| is_as_signed(bytes, target)) {
            return Ok(bytes);
        }
        let found = self.connection.get_bytes(past_caches(url, target), target.length).await;
        let found = found.ok().flatten().filter(|bytes| is_as_signed(bytes, target));
        Ok(found.ok_or_else(|| Refusal::Changed { file: path.to_owned() })?)
    }
}

/// Returns an address of a document under which no cache on the way has an older one. Some caches do not heed a request
/// that asks past them, and have one for as long as its age allows.
fn past_caches(mut url: Url, target: &Target) -> Url {
    if let Some(digest) = target.digest() {
        url.set_query(Some(&format!("sha256={}", digest.to_hex())));
    }
    url
}

/// Reports whether bytes are those that were signed.
pub fn is_as_signed(bytes: &[u8], target: &Target) -> bool {
    bytes.len() as u64 == target.length && target.digest() == Some(Digest::of(bytes))
}

/// The reason for which a tree could not be read: a refusal, or a failure on the way.
#[derive(Debug)]
pub enum Trouble {
    Refused(Refusal),
    Failed(Failure),
}

impl Trouble {
    /// Reports whether the tree may have been changing just then.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(
                refusal,
                Refusal::Changed { .. } | Refusal::Mixed { .. } | Refusal::Older { .. }
            ),
            Self::Failed(failure) => failure.exit() == Exit::NotFound,
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => Self::new(Exit::Verification, refusal.to_string()),
            Trouble::Failed(failure) => failure,
        }
    }
}

/// Reads the root that the user trusts. A file that is none is the user's mistake.
pub fn trusted_root(path: &Path) -> Result<Vec<u8>, Failure> {
    let root = file_system::open_named(path)
        .and_then(|file| read_at_most(file, LARGEST_ROOT))
        .map_err(|error| Failure::local("read", path, &error))?;
    Walk::new(&root, Seen::default(), now())
        .map_err(|refusal| Failure::usage(format!("{}: {refusal}", path.display())))?;
    Ok(root)
}

pub fn now() -> Moment {
    SystemTime::now().into()
}

/// Returns the most bytes that a file of the metadata may have.
pub const fn largest(file: FileName) -> u64 {
    match file {
        FileName::Timestamp => LARGEST_TIMESTAMP,
        FileName::Versioned(RoleName::Root, _) => LARGEST_ROOT,
        FileName::Versioned(RoleName::Snapshot, _) => LARGEST_SNAPSHOT,
        FileName::Versioned(..) => LARGEST_TARGETS,
    }
}

/// Returns the address of the tree's root, to which paths can be joined.
fn base(address: &str) -> Result<Url, Failure> {
    let wrong =
        |why: &str| Failure::usage(format!("{address} is not the address of a tree: {why}"));
    let mut url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(wrong("it has to begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not contain a password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn read_at_most(file: std::fs::File, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
