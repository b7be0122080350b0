//! A verified copy of a tree's signed metadata in a folder: every file of one moment, as its bytes were signed, and the
//! documents (`channel.json`) of that moment.
//!
//! A [`Look`] walks as [`SignedTree`](super::tree::SignedTree) does and takes all bins. A file with a version in its
//! name never changes: it is fetched only if the folder lacks it, or has another one in its place. What was fetched
//! is kept in a folder that nobody reads, until its owner gives it the place where it is served.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use super::picture::{Need, Picture};
use super::source::{ASK_AGAIN, Source, Trouble, is_as_signed, largest, now, trusted_root};
use super::state::State;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::file_system;
use crate::trust::role::{FOLDER, FileName, RoleName};
use crate::trust::walk::{MOST_ROOTS, Seen};
use crate::trust::{Refusal, Target, Walk};

/// The time for which a tree is asked again that was changing while it was read. Longer than that of a reader: nobody
/// waits, and the depot signs within two seconds of a change.
const CHANGING: Duration = Duration::from_secs(4);

/// The folder of documents that were fetched.
pub const DOCUMENTS: &str = ".documents";

/// The number of bins that are fetched at once.
const AT_ONCE: usize = 8;

/// A tree, and the folders of the copy of its metadata.
#[derive(Debug)]
pub struct MetadataCopy {
    pub source: Source,
    trusted_root: Vec<u8>,
    /// The folder with the record of what was seen.
    state: PathBuf,
    /// The root of the tree that is served from the copy.
    served: PathBuf,
    /// The same tree with what was fetched and is not served yet.
    incoming: PathBuf,
}

impl MetadataCopy {
    /// Opens a copy. `folder` is the root of what is served; what is fetched is written below `incoming`.
    pub fn open(
        server: &ServerArgs,
        address: &str,
        root: &Path,
        folder: &Path,
        incoming: &Path,
    ) -> Result<Self, Failure> {
        let source = Source::open(server, address)?;
        let trusted_root = trusted_root(root)?;
        Ok(Self {
            source,
            trusted_root,
            state: State::usual_folder()?,
            served: folder.to_owned(),
            incoming: incoming.to_owned(),
        })
    }

    /// Looks at the tree. Returns none if nothing has changed since the `known` picture; `wanted` says which documents
    /// belong to a picture. A tree that changes just then is read again for a while.
    pub async fn look(
        &self,
        known: Option<&Picture>,
        wanted: impl Fn(&str, &Target) -> Option<Need>,
    ) -> Result<Option<Picture>, Failure> {
        let until = Instant::now() + CHANGING;
        loop {
            match self.walk(Origin::Upstream, known, &wanted).await {
                Err(trouble) if trouble.may_pass() && Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Returns the picture that the folder has, without asking anybody.
    pub async fn load(
        &self,
        wanted: impl Fn(&str, &Target) -> Option<Need>,
    ) -> Result<Picture, Failure> {
        let picture = self.walk(Origin::Folder, None, &wanted).await?;
        picture.ok_or_else(|| Failure::new(Exit::NotFound, "there is no copy of the metadata yet"))
    }

    async fn walk(
        &self,
        origin: Origin,
        known: Option<&Picture>,
        wanted: &impl Fn(&str, &Target) -> Option<Need>,
    ) -> Result<Option<Picture>, Trouble> {
        let look = Look { copy: self, origin };
        let (mut walk, mut files, timestamp) = {
            // What the folder has was believed when it came. Others may have seen newer states since.
            let state = match origin {
                Origin::Upstream => Some(State::open_in(&self.state, &self.trusted_root).await?),
                Origin::Folder => None,
            };
            let (mut walk, roots) = look.roots(state.as_ref()).await?;
            let timestamp = look.timestamp().await?;
            let is_known = |known: &&Picture| {
                known.timestamp == timestamp && known.walk.root_version() == walk.root_version()
            };
            if known.filter(is_known).is_some_and(Picture::is_fresh) {
                return Ok(None);
            }
            walk.add_timestamp(&timestamp)?;
            let snapshot = walk.snapshot_file().ok_or(Refusal::OutOfOrder)?;
            look.take(&mut walk, snapshot, Walk::add_snapshot).await?;
            let targets = walk.targets_file().ok_or(Refusal::OutOfOrder)?;
            look.take(&mut walk, targets, Walk::add_targets).await?;
            state.map_or(Ok(()), |state| state.keep(&walk))?;
            (walk, [roots, vec![targets, snapshot]].concat(), timestamp)
        };
        files.extend(look.bins(&mut walk).await?);
        let documents = look.documents(&walk, wanted).await?;
        Ok(Some(Picture { walk, files, timestamp, documents }))
    }

    /// Returns the place of a file that was fetched and is not served yet.
    pub fn fetched(&self, path: &str) -> PathBuf {
        self.incoming.join(path)
    }

    /// Reads a file of the copy, wherever it is.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        file_system::read(&self.fetched(path), limit)
            .or_else(|_| file_system::read(&self.served.join(path), limit))
    }

    /// Reads a document as it was signed. Those that were fetched are called by their digests: one that is replaced
    /// stays until the metadata is that names the new one.
    fn document(&self, path: &str, target: &Target) -> Option<Vec<u8>> {
        let places = [self.fetched(&kept_document(target)), self.served.join(path)];
        let read = places.iter().filter_map(|place| file_system::read(place, target.length).ok());
        read.into_iter().find(|bytes| is_as_signed(bytes, target))
    }

    /// Removes the documents that were fetched and do not belong to the picture.
    pub fn forget_documents_but(&self, picture: &Picture) {
        let kept: Vec<_> = picture
            .documents
            .keys()
            .filter_map(|path| Some(self.fetched(&kept_document(picture.target(path)?))))
            .collect();
        for entry in fs::read_dir(self.fetched(DOCUMENTS)).into_iter().flatten().flatten() {
            if !kept.contains(&entry.path()) {
                // What cannot be removed does no harm.
                let _left = fs::remove_file(entry.path());
            }
        }
    }

    fn keep(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let place = self.fetched(path);
        write_durably(&place, bytes).map_err(|error| Failure::local("write", &place, &error))
    }
}

/// Returns the path of a document that was fetched, below the folder of what was.
fn kept_document(target: &Target) -> String {
    format!("{DOCUMENTS}/{}", target.hashes.sha256)
}

/// Returns the path of a file of the metadata below the tree's root.
pub fn path_of(file: FileName) -> String {
    format!("{FOLDER}/{file}")
}

/// The place that is asked for what the folder lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Upstream,
    /// The folder has to have everything.
    Folder,
}

/// One walk.
struct Look<'a> {
    copy: &'a MetadataCopy,
    origin: Origin,
}

impl Look<'_> {
    /// Follows the roots, from the trusted one on, and begins the walk at the newest. The files of all of them belong to
    /// the copy: its readers begin where they may.
    async fn roots(&self, state: Option<&State>) -> Result<(Walk, Vec<FileName>), Trouble> {
        let trusted = &self.copy.trusted_root;
        let mut chain = Walk::new(trusted, Seen::default(), now())?;
        let mut walk = match state {
            Some(state) => state.begin(trusted, now())?,
            None => Walk::new(trusted, Seen::default(), now())?,
        };
        let first = FileName::Versioned(RoleName::Root, chain.root_version());
        self.keep_if_missing(first, trusted)?;
        let mut files = vec![first];
        loop {
            let file = chain.next_root();
            let Some(root) = self.next_root(&mut chain).await? else { break };
            if files.len() > MOST_ROOTS {
                return Err(Refusal::TooManyRoots(MOST_ROOTS).into());
            }
            if walk.next_root() == file {
                walk.add_root(&root)?;
            }
            files.push(file);
        }
        if chain.root_version() < walk.root_version() {
            let (found, seen) = (chain.root_version(), walk.root_version());
            return Err(Refusal::Older { file: "the root".to_owned(), found, seen }.into());
        }
        Ok((walk, files))
    }

    /// Takes the next root from the folder or from upstream; none if this is the newest.
    async fn next_root(&self, chain: &mut Walk) -> Result<Option<Vec<u8>>, Trouble> {
        let file = chain.next_root();
        if let Some(bytes) = self.in_folder(file)
            && chain.add_root(&bytes).is_ok()
        {
            return Ok(Some(bytes));
        }
        if self.origin == Origin::Folder {
            return Ok(None);
        }
        let Some(bytes) = self.copy.source.next_root(chain).await? else { return Ok(None) };
        chain.add_root(&bytes)?;
        self.copy.keep(&path_of(file), &bytes)?;
        Ok(Some(bytes))
    }

    async fn timestamp(&self) -> Result<Vec<u8>, Trouble> {
        match self.origin {
            Origin::Upstream => self.copy.source.metadata(FileName::Timestamp).await,
            Origin::Folder => {
                self.in_folder(FileName::Timestamp).ok_or_else(|| lacking(FileName::Timestamp))
            }
        }
    }

    /// Takes a file from the folder, or from upstream if the folder lacks it or has another one in its place.
    async fn take(
        &self,
        walk: &mut Walk,
        file: FileName,
        add: impl Fn(&mut Walk, &[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Trouble> {
        if let Some(bytes) = self.in_folder(file)
            && add(walk, &bytes).is_ok()
        {
            return Ok(());
        }
        let bytes = self.fetch(file).await?;
        add(walk, &bytes)?;
        Ok(self.copy.keep(&path_of(file), &bytes)?)
    }

    /// Takes all bins. Those that the folder lacks are fetched a few at once.
    async fn bins(&self, walk: &mut Walk) -> Result<Vec<FileName>, Trouble> {
        let named: Vec<(RoleName, FileName)> =
            RoleName::bins().filter_map(|bin| Some((bin, walk.file_of_bin(bin)?))).collect();
        let mut missing = Vec::new();
        for (bin, file) in &named {
            let there = self.in_folder(*file);
            if there.is_none_or(|bytes| walk.add_whole_bin(*bin, &bytes).is_err()) {
                missing.push((*bin, *file));
            }
        }
        let mut coming = stream::iter(missing)
            .map(|(bin, file)| async move { (bin, file, self.fetch(file).await) })
            .buffered(AT_ONCE);
        while let Some((bin, file, bytes)) = coming.next().await {
            let bytes = bytes?;
            walk.add_whole_bin(bin, &bytes)?;
            self.copy.keep(&path_of(file), &bytes)?;
        }
        Ok(named.into_iter().map(|(_, file)| file).collect())
    }

    async fn documents(
        &self,
        walk: &Walk,
        wanted: &impl Fn(&str, &Target) -> Option<Need>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Trouble> {
        let mut documents = BTreeMap::new();
        let all = RoleName::bins().flat_map(|bin| walk.targets_of_bin(bin));
        for (path, target) in all {
            let Some(need) = wanted(&path, &target) else { continue };
            let bytes = match self.copy.document(&path, &target) {
                Some(bytes) => bytes,
                None => match self.fetch_document(&path, &target).await {
                    Ok(bytes) => bytes,
                    Err(Trouble::Failed(failure))
                        if need == Need::IfThere && failure.exit() == Exit::NotFound =>
                    {
                        continue;
                    }
                    Err(trouble) => return Err(trouble),
                },
            };
            documents.insert(path, bytes);
        }
        Ok(documents)
    }

    async fn fetch_document(&self, path: &str, target: &Target) -> Result<Vec<u8>, Trouble> {
        if self.origin == Origin::Folder {
            return Err(Failure::new(Exit::NotFound, format!("there is no copy of {path}")).into());
        }
        let bytes = self.copy.source.document(path, target).await?;
        self.copy.keep(&kept_document(target), &bytes)?;
        Ok(bytes)
    }

    fn in_folder(&self, file: FileName) -> Option<Vec<u8>> {
        self.copy.read(&path_of(file), largest(file)).ok()
    }

    fn keep_if_missing(&self, file: FileName, bytes: &[u8]) -> Result<(), Failure> {
        if self.in_folder(file).as_deref() == Some(bytes) {
            return Ok(());
        }
        self.copy.keep(&path_of(file), bytes)
    }

    async fn fetch(&self, file: FileName) -> Result<Vec<u8>, Trouble> {
        match self.origin {
            Origin::Upstream => self.copy.source.metadata(file).await,
            Origin::Folder => Err(lacking(file)),
        }
    }
}

fn lacking(file: FileName) -> Trouble {
    Failure::new(Exit::NotFound, format!("there is no copy of {file}")).into()
}

/// Writes a file that is complete under its name, also after a power failure.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
