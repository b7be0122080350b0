//! The offer of a channel in a signed tree.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::tree::SignedTree;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::model::{ChannelName, Digest, Rollout};
use crate::trust::{Refusal, Target};

/// The name of a channel's manifest.
const NAME: &str = "channel.json";

/// The channel that publishes at the tree's root, if nobody has said otherwise.
const PRODUCTION: &str = "production";

/// A channel's manifest, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    channel: String,
    /// The folder below the tree's root, as the first part of a path; empty for the root.
    #[serde(skip)]
    pub folder: String,
    pub images: Vec<Image>,
}

#[derive(Debug, Deserialize)]
pub struct Image {
    pub image: String,
    pub revision: u64,
    #[serde(default)]
    pub epoch: u64,
    #[serde(default)]
    pub promotion: Uuid,
    #[serde(default)]
    pub mandatory: bool,
    #[serde(default)]
    pub deadline: Option<DateTime<Utc>>,
    /// The rollout under way, as it is written: a newer depot may state what this program does not know.
    #[serde(default)]
    rollout: Option<serde_json::Value>,
    /// The revision for those whom the rollout holds.
    #[serde(default)]
    pub previous: Option<Previous>,
    #[serde(default)]
    pub revoked: Vec<u64>,
    pub files: Vec<File>,
}

/// The assignment before the one that is rolled out.
#[derive(Debug, Deserialize)]
pub struct Previous {
    pub revision: u64,
    pub files: Vec<File>,
}

impl Manifest {
    /// Returns the entry of an image.
    pub fn image(self, name: &str) -> Option<Image> {
        self.images.into_iter().find(|found| found.image.eq_ignore_ascii_case(name))
    }
}

impl Image {
    /// Returns the rollout under way, if there is one. Fails if it has terms that this program does not know: their
    /// meaning for a client cannot be guessed.
    pub fn rollout(&self) -> Result<Option<Rollout>, Failure> {
        let Some(written) = &self.rollout else { return Ok(None) };
        serde_json::from_value(written.clone()).map(Some).map_err(|error| {
            let failure = Failure::unreadable("rollout", error);
            failure.with_hint("a newer imagedepot may know its terms")
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct File {
    pub role: String,
    path: String,
    pub size: u64,
    pub digest: Digest,
    #[serde(default)]
    chunks: Option<Extra>,
    #[serde(default)]
    deltas: Vec<Delta>,
}

#[derive(Debug, Clone, Deserialize)]
struct Extra {
    path: String,
    size: u64,
    digest: Digest,
}

#[derive(Debug, Clone, Deserialize)]
struct Delta {
    from: u64,
    #[serde(flatten)]
    file: Extra,
}

/// A file of a revision, whose size and digest were signed.
#[derive(Debug)]
pub struct SignedFile {
    pub role: String,
    /// The path below the tree's root.
    pub path: String,
    pub size: u64,
    pub digest: Digest,
    /// The chunk list and the deltas. They only save bytes: what is made with them has to have the signed digest.
    pub chunks: Option<ListedFile>,
    /// Each with the revision that it starts from.
    pub deltas: Vec<(u64, ListedFile)>,
}

/// A file beside another one.
#[derive(Debug)]
pub struct ListedFile {
    /// The path below the tree's root.
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

/// An image as a channel offers it.
#[derive(Debug)]
pub struct Offer {
    pub image: String,
    pub revision: u64,
    pub files: Vec<SignedFile>,
}

/// Returns an image as a channel offers it. While a rollout is under way, that is the revision before it: a tree knows
/// no clients.
pub async fn offer(tree: &mut SignedTree, channel: &str, image: &str) -> Result<Offer, Failure> {
    let name: ChannelName =
        channel.parse().map_err(|error| Failure::usage(format!("--channel {channel}: {error}")))?;
    let manifest = manifest(tree, &name).await?;
    let folder = manifest.folder.clone();
    let nothing = || {
        let message = format!("the channel {channel} offers no revision of {image}");
        Failure::new(Exit::NotFound, message)
    };
    let found = manifest.image(image).ok_or_else(nothing)?;
    let (revision, files) = match (found.rollout, found.previous) {
        (None, _) => (found.revision, found.files),
        (Some(_), Some(previous)) => (previous.revision, previous.files),
        (Some(_), None) => return Err(nothing()),
    };
    offer_of(tree, &folder, found.image, revision, files).await
}

/// Returns the manifest of a channel, verified. Its folder usually has the channel's name; if it has another one, the list
/// of all that is signed says which.
pub async fn manifest(tree: &mut SignedTree, channel: &ChannelName) -> Result<Manifest, Failure> {
    let usual = if channel.as_str().eq_ignore_ascii_case(PRODUCTION) {
        String::new()
    } else {
        format!("{channel}/")
    };
    let in_usual = tree.document(&format!("{usual}{NAME}")).await?;
    let (folder, bytes) = match in_usual {
        Some(bytes) => (usual, Some(bytes)),
        None => match folder_of(tree, channel).await? {
            Some(folder) => (folder.clone(), tree.document(&format!("{folder}{NAME}")).await?),
            None => (usual, None),
        },
    };
    let bytes = bytes.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("the tree has no folder of the channel {channel}"))
    })?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Failure::unreadable(NAME, error))?;
    if !manifest.channel.eq_ignore_ascii_case(channel.as_str()) {
        let other = &manifest.channel;
        let message = format!("{folder}{NAME} is of the channel {other}, not of {channel}");
        return Err(Failure::new(Exit::NotFound, message));
    }
    Ok(Manifest { folder, ..manifest })
}

/// Finds the folder of a channel among all that is signed.
async fn folder_of(
    tree: &mut SignedTree,
    channel: &ChannelName,
) -> Result<Option<String>, Failure> {
    let is_of_channel = |target: &Target| {
        let named = target.custom.as_ref().and_then(|custom| custom["channel"].as_str());
        named.is_some_and(|named| named.eq_ignore_ascii_case(channel.as_str()))
    };
    let found = tree.all().await?.into_iter().find_map(|(path, target)| {
        path.strip_suffix(NAME).filter(|_| is_of_channel(&target)).map(str::to_owned)
    });
    Ok(found.filter(|folder| folder.is_empty() || folder.ends_with('/')))
}

/// Returns a revision of a manifest, each of whose files is signed as the manifest has it. `folder` is the manifest's.
pub async fn offer_of(
    tree: &mut SignedTree,
    folder: &str,
    image: String,
    revision: u64,
    files: Vec<File>,
) -> Result<Offer, Failure> {
    let mut signed = Vec::new();
    for file in files {
        signed.push(listed(tree, folder, file).await?);
    }
    Ok(Offer { image, revision, files: signed })
}

/// Compares what the manifest says of a file with what was signed of the file itself.
async fn listed(tree: &mut SignedTree, folder: &str, file: File) -> Result<SignedFile, Failure> {
    let path = format!("{folder}{}", file.path);
    let target = tree.target(&path).await?;
    let refusal = match target {
        None => Refusal::NotListed { path },
        Some(target) if target.length == file.size && target.digest() == Some(file.digest) => {
            let File { role, size, digest, chunks, deltas, .. } = file;
            let listed = |Extra { path, size, digest }| {
                let path = format!("{folder}{path}");
                ListedFile { path, size, digest }
            };
            let chunks = chunks.map(listed);
            let deltas = deltas.into_iter().map(|delta| (delta.from, listed(delta.file))).collect();
            return Ok(SignedFile { role, path, size, digest, chunks, deltas });
        }
        Some(_) => Refusal::Changed { file: path },
    };
    Err(Failure::new(Exit::Verification, refusal.to_string()))
}
