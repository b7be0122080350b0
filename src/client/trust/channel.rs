//! The offer of a channel in a signed tree.

use serde::Deserialize;

use super::tree::SignedTree;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::model::{ChannelName, Digest};
use crate::trust::Refusal;

/// The channel that publishes at the tree's root.
const PRODUCTION: &str = "production";

/// A channel's manifest, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    channel: String,
    pub images: Vec<Image>,
}

#[derive(Debug, Deserialize)]
pub struct Image {
    pub image: String,
    pub revision: u64,
    pub files: Vec<File>,
    #[serde(default)]
    rollout: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    previous: Option<Previous>,
}

#[derive(Debug, Deserialize)]
struct Previous {
    revision: u64,
    files: Vec<File>,
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
    let folder = if name.as_str() == PRODUCTION { String::new() } else { format!("{name}/") };
    let path = format!("{folder}channel.json");
    let bytes = tree.document(&path).await?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("the tree has no folder of the channel {channel}"))
    })?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::unreadable("channel.json", error))?;
    if !manifest.channel.eq_ignore_ascii_case(channel) {
        let message = format!("{path} is of the channel {}, not of {channel}", manifest.channel);
        return Err(Failure::new(Exit::NotFound, message));
    }
    let nothing = || {
        let message = format!("the channel {channel} offers no revision of {image}");
        Failure::new(Exit::NotFound, message)
    };
    let found = manifest.images.into_iter().find(|found| found.image.eq_ignore_ascii_case(image));
    let found = found.ok_or_else(nothing)?;
    let (revision, files) = match (found.rollout, found.previous) {
        (None, _) => (found.revision, found.files),
        (Some(_), Some(previous)) => (previous.revision, previous.files),
        (Some(_), None) => return Err(nothing()),
    };
    let mut signed = Vec::new();
    for file in files {
        signed.push(listed(tree, &folder, file).await?);
    }
    Ok(Offer { image: found.image, revision, files: signed })
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
