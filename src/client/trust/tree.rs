//! A tree whose metadata was verified: the files that it lists, fetched and compared.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use url::Url;

use super::state::State;
use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::file_system;
use crate::model::Digest;
use crate::trust::role::{FOLDER, FileName, RoleName};
use crate::trust::walk::MOST_ROOTS;
use crate::trust::{Moment, Refusal, Target, Walk};

/// The largest sizes of files that are read, as python-tuf has them.
const LARGEST_ROOT: u64 = 512_000;
const LARGEST_TIMESTAMP: u64 = 16_384;
const LARGEST_SNAPSHOT: u64 = 2_000_000;
const LARGEST_TARGETS: u64 = 5_000_000;

/// The time for which a tree is asked again that was changing while it was read.
const CHANGING: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The place of a tree, and the root that the user trusts there.
#[derive(Debug, Clone)]
pub struct TreePlace {
    pub connection: Connection,
    base: Url,
    trusted_root: Vec<u8>,
    /// The folder of the record of what was seen; the user's own if none is set.
    state: Option<PathBuf>,
}

/// A tree at one moment.
#[derive(Debug)]
pub struct SignedTree {
    place: TreePlace,
    walk: Walk,
}

impl TreePlace {
    /// Reads the trusted root. Nothing is sent yet.
    pub fn new(server: &ServerArgs, address: &str, root: &Path) -> Result<Self, Failure> {
        let base = base(address)?;
        let trusted_root = file_system::open_named(root)
            .and_then(|file| read_at_most(file, LARGEST_ROOT))
            .map_err(|error| Failure::local("read", root, &error))?;
        let connection = Connection::to_tree(server, &base)?;
        // Before anything is fetched: a file that is no root is the user's mistake.
        Walk::new(&trusted_root, crate::trust::walk::Seen::default(), now())
            .map_err(|refusal| Failure::usage(format!("{}: {refusal}", root.display())))?;
        Ok(Self { connection, base, trusted_root, state: None })
    }

    /// Keeps the record of what was seen in this folder, not in the user's own.
    #[must_use]
    pub fn with_state_in(self, folder: PathBuf) -> Self {
        Self { state: Some(folder), ..self }
    }

    /// Verifies the tree's metadata as it is now.
    pub async fn read(&self) -> Result<SignedTree, Failure> {
        let until = Instant::now() + CHANGING;
        loop {
            match walk(self).await {
                Ok(walk) => return Ok(SignedTree { place: self.clone(), walk }),
                Err(trouble) if trouble.may_pass() && Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }
}

impl SignedTree {
    /// Verifies the metadata of the tree at an address, from a root that the user trusts.
    pub async fn open(server: &ServerArgs, address: &str, root: &Path) -> Result<Self, Failure> {
        TreePlace::new(server, address, root)?.read().await
    }

    pub const fn connection(&self) -> &Connection {
        &self.place.connection
    }

    /// Reads the tree's metadata again.
    async fn refresh(&mut self) -> Result<(), Trouble> {
        self.walk = walk(&self.place).await?;
        Ok(())
    }

    /// Returns the address of a file.
    pub fn url(&self, path: &str) -> Result<Url, Failure> {
        join(&self.place.base, path)
    }

    /// Returns the path of a file of the tree below its root; none for an address that is elsewhere.
    pub fn path_of(&self, url: &Url) -> Option<String> {
        let (base, url) = (&self.place.base, url);
        let path = url.path().strip_prefix(base.path())?;
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        Some(path.into_owned())
    }

    /// Returns what was signed of a file; none if the depot does not offer it.
    pub async fn target(&mut self, path: &str) -> Result<Option<Target>, Failure> {
        Ok(self.find(path).await?)
    }

    async fn find(&mut self, path: &str) -> Result<Option<Target>, Trouble> {
        if let Some(bin) = self.walk.bin_file(path) {
            let bytes = fetch(&self.place, bin, LARGEST_TARGETS).await?;
            self.walk.add_bin(path, &bytes)?;
        }
        Ok(self.walk.target(path).cloned())
    }

    /// Returns the bytes of a small file that changes, such as `channel.json`; none if the depot does not offer it. If
    /// it is of another moment than the metadata, both are read again for a while.
    pub async fn document(&mut self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let until = Instant::now() + CHANGING;
        loop {
            match self.read_document(path).await {
                Err(trouble) if trouble.may_pass() && Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    match self.refresh().await {
                        Err(trouble) if !trouble.may_pass() => return Err(trouble.into()),
                        _ => {}
                    }
                }
                done => return Ok(done?),
            }
        }
    }

    async fn read_document(&mut self, path: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let Some(target) = self.find(path).await? else { return Ok(None) };
        let url = join(&self.place.base, path)?;
        let bytes = self.place.connection.get_bytes(url, target.length).await?;
        let fits = |bytes: &Vec<u8>| {
            bytes.len() as u64 == target.length && target.digest() == Some(Digest::of(bytes))
        };
        match bytes.filter(fits) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Refusal::Changed { file: path.to_owned() }.into()),
        }
    }

    /// Returns everything that the depot offers.
    pub async fn all(&mut self) -> Result<Vec<(String, Target)>, Failure> {
        let mut all = Vec::new();
        for bin in RoleName::bins() {
            if let Some(file) = self.walk.file_of_bin(bin) {
                let bytes = fetch(&self.place, file, LARGEST_TARGETS).await?;
                self.walk.add_whole_bin(bin, &bytes).map_err(Trouble::from)?;
            }
            all.extend(self.walk.targets_of_bin(bin));
        }
        Ok(all)
    }
}

/// The reason for which a tree could not be read: a refusal, or a failure on the way.
enum Trouble {
    Refused(Refusal),
    Failed(Failure),
}

impl Trouble {
    /// Reports whether the tree may have been changing just then.
    fn may_pass(&self) -> bool {
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

/// Walks from the root to the targets, and keeps what was seen.
async fn walk(place: &TreePlace) -> Result<Walk, Trouble> {
    let state = State::open(&place.trusted_root, place.state.as_deref()).await?;
    let mut walk = state.begin(&place.trusted_root, now())?;
    let mut followed = 0;
    while let Some(root) = next_root(place, &walk).await? {
        if followed == MOST_ROOTS {
            return Err(Refusal::TooManyRoots(MOST_ROOTS).into());
        }
        walk.add_root(&root)?;
        followed += 1;
    }
    let get = |file, limit| fetch(place, file, limit);
    walk.add_timestamp(&get(FileName::Timestamp, LARGEST_TIMESTAMP).await?)?;
    let snapshot = walk.snapshot_file().ok_or(Refusal::OutOfOrder)?;
    walk.add_snapshot(&get(snapshot, LARGEST_SNAPSHOT).await?)?;
    let targets = walk.targets_file().ok_or(Refusal::OutOfOrder)?;
    walk.add_targets(&get(targets, LARGEST_TARGETS).await?)?;
    state.keep(&walk)?;
    Ok(walk)
}

/// Returns the next root, or none if this is the newest. Some buckets answer 403 for what is not there.
async fn next_root(place: &TreePlace, walk: &Walk) -> Result<Option<Vec<u8>>, Trouble> {
    match fetch(place, walk.next_root(), LARGEST_ROOT).await {
        Ok(root) => Ok(Some(root)),
        Err(Trouble::Failed(failure))
            if matches!(failure.exit(), Exit::NotFound | Exit::Refused) =>
        {
            Ok(None)
        }
        Err(trouble) => Err(trouble),
    }
}

async fn fetch(place: &TreePlace, file: FileName, limit: u64) -> Result<Vec<u8>, Trouble> {
    let url = join(&place.base, &format!("{FOLDER}/{file}"))?;
    let found = place.connection.get_bytes(url, limit).await;
    let found = found.map_err(|failure| failure.while_doing(&file.to_string()))?;
    Ok(found.ok_or_else(|| Refusal::TooLarge { file: file.to_string(), limit })?)
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

fn join(base: &Url, path: &str) -> Result<Url, Failure> {
    base.join(path).map_err(|error| Failure::unreadable("address of a file", error))
}

fn now() -> Moment {
    SystemTime::now().into()
}

fn read_at_most(file: std::fs::File, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The tree to read instead of asking a server, and the root to trust there.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TreeArgs {
    /// Read this tree instead of asking a server, such as a mirror's or a bucket's; it is believed for its signatures
    /// alone
    #[arg(long, value_name = "URL", requires = "trust", conflicts_with_all = ["revision", "client"])]
    pub tree: Option<String>,

    /// Root of trust (root.json), as `trust export-root` writes it
    #[arg(long, value_name = "ROOT", requires = "tree")]
    pub trust: Option<PathBuf>,
}
