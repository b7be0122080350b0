//! A tree whose metadata was verified: the files that it lists, fetched and compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::source::{ASK_AGAIN, Source, Trouble, now, trusted_root};
use super::state::State;
use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::trust::role::{FileName, RoleName};
use crate::trust::walk::MOST_ROOTS;
use crate::trust::{Refusal, Target, Walk};

/// The time for which a tree is asked again that was changing while it was read.
const CHANGING: Duration = Duration::from_secs(2);

/// The place of a tree, and the root that the user trusts there.
#[derive(Debug, Clone)]
pub struct TreePlace {
    source: Source,
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
        let source = Source::open(server, address)?;
        Ok(Self { source, trusted_root: trusted_root(root)?, state: None })
    }

    /// Keeps the record of what was seen in this folder, not in the user's own.
    #[must_use]
    pub fn with_state_in(self, folder: PathBuf) -> Self {
        Self { state: Some(folder), ..self }
    }

    pub const fn connection(&self) -> &Connection {
        &self.source.connection
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
        self.place.connection()
    }

    /// Reads the tree's metadata again.
    async fn refresh(&mut self) -> Result<(), Trouble> {
        self.walk = walk(&self.place).await?;
        Ok(())
    }

    /// Returns the address of a file.
    pub fn url(&self, path: &str) -> Result<Url, Failure> {
        self.place.source.url(path)
    }

    /// Returns the path of a file of the tree below its root; none for an address that is elsewhere.
    pub fn path_of(&self, url: &Url) -> Option<String> {
        self.place.source.path_of(url)
    }

    /// Returns what was signed of a file; none if the depot does not offer it.
    pub async fn target(&mut self, path: &str) -> Result<Option<Target>, Failure> {
        Ok(self.find(path).await?)
    }

    async fn find(&mut self, path: &str) -> Result<Option<Target>, Trouble> {
        if let Some(bin) = self.walk.bin_file(path) {
            let bytes = self.place.source.metadata(bin).await?;
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
        self.place.source.document(path, &target).await.map(Some)
    }

    /// Returns everything that the depot offers.
    pub async fn all(&mut self) -> Result<Vec<(String, Target)>, Failure> {
        let mut all = Vec::new();
        for bin in RoleName::bins() {
            if let Some(file) = self.walk.file_of_bin(bin) {
                let bytes = self.place.source.metadata(file).await?;
                self.walk.add_whole_bin(bin, &bytes).map_err(Trouble::from)?;
            }
            all.extend(self.walk.targets_of_bin(bin));
        }
        Ok(all)
    }
}

/// Walks from the root to the targets, and keeps what was seen.
async fn walk(place: &TreePlace) -> Result<Walk, Trouble> {
    let TreePlace { source, trusted_root, state } = place;
    let state = match state {
        Some(folder) => State::open_in(folder, trusted_root).await?,
        None => State::open(trusted_root).await?,
    };
    let mut walk = state.begin(trusted_root, now())?;
    let mut followed = 0;
    while let Some(root) = source.next_root(&walk).await? {
        if followed == MOST_ROOTS {
            return Err(Refusal::TooManyRoots(MOST_ROOTS).into());
        }
        walk.add_root(&root)?;
        followed += 1;
    }
    walk.add_timestamp(&source.metadata(FileName::Timestamp).await?)?;
    let snapshot = walk.snapshot_file().ok_or(Refusal::OutOfOrder)?;
    walk.add_snapshot(&source.metadata(snapshot).await?)?;
    let targets = walk.targets_file().ok_or(Refusal::OutOfOrder)?;
    walk.add_targets(&source.metadata(targets).await?)?;
    state.keep(&walk)?;
    Ok(walk)
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
