//! The files that a channel's document (`channel.json`) names, each compared with what was signed of it.

use serde::Deserialize;

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::trust::picture::Picture;
use crate::model::Digest;
use crate::trust::role::FOLDER;
use crate::trust::{Refusal, Target};

/// The name of the document of a channel's folder.
pub const NAME: &str = "channel.json";

/// A channel, as its document says.
#[derive(Debug)]
pub struct Channel {
    pub name: String,
    /// The path of the document below the tree's root.
    pub path: String,
    pub sequence: u64,
    pub images: Vec<Image>,
}

/// An image in a channel.
#[derive(Debug)]
pub struct Image {
    pub name: String,
    /// The revisions that are offered: one, and the one before it during a rollout.
    pub revisions: Vec<Revision>,
    /// The revisions that were revoked.
    pub revoked: Vec<u64>,
}

#[derive(Debug)]
pub struct Revision {
    pub number: u64,
    pub files: Vec<File>,
}

/// A file of a revision, with the files that save its readers bytes.
#[derive(Debug)]
pub struct File {
    pub role: String,
    pub itself: Listed,
    pub chunks: Option<Listed>,
    /// Each with the revision that it starts from.
    pub deltas: Vec<(u64, Listed)>,
}

/// A file by its path below the tree's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

impl Listed {
    /// Returns the folder and the name. The folder of the tree's root is empty.
    pub fn place(&self) -> (&str, &str) {
        self.path.rsplit_once('/').unwrap_or(("", &self.path))
    }
}

impl File {
    /// Returns the file and those beside it.
    pub fn all(&self) -> impl Iterator<Item = &Listed> {
        let deltas = self.deltas.iter().map(|(_, delta)| delta);
        std::iter::once(&self.itself).chain(&self.chunks).chain(deltas)
    }
}

impl Image {
    /// Returns all files of the image, each with its revision.
    pub fn files(&self) -> impl Iterator<Item = (u64, &Listed)> {
        self.revisions.iter().flat_map(|revision| {
            let files = revision.files.iter().flat_map(File::all);
            files.map(|file| (revision.number, file))
        })
    }
}

/// Returns the name of the channel whose document a target is; none for any other target.
pub fn channel_of<'a>(path: &str, target: &'a Target) -> Option<&'a str> {
    let is_document = path.rsplit('/').next() == Some(NAME);
    let custom =
        target.custom.as_ref().filter(|custom| is_document && custom.get("role").is_none());
    custom?.get("channel")?.as_str()
}

/// Reports whether a path is one that a tree may have: a plain name, or one in a folder.
pub fn is_plain(path: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = |name: &str| {
        (1..=255).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_letter)
    };
    path.split('/').count() <= 2
        && path.split('/').all(is_name)
        && !path.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(FOLDER))
}

/// Reads a document of the picture.
pub fn read(picture: &Picture, path: &str, bytes: &[u8]) -> Result<Channel, Failure> {
    let written: Written =
        serde_json::from_slice(bytes).map_err(|error| Failure::unreadable(path, error))?;
    let folder = path.strip_suffix(NAME).unwrap_or_default();
    let reader = Reader { picture, folder };
    let images = written.images.into_iter().map(|image| reader.image(image));
    Ok(Channel {
        images: images.collect::<Result<_, _>>()?,
        name: written.channel,
        path: path.to_owned(),
        sequence: written.sequence,
    })
}

struct Reader<'a> {
    picture: &'a Picture,
    /// With a slash at its end, if it is not the root.
    folder: &'a str,
}

impl Reader<'_> {
    fn image(&self, image: WrittenImage) -> Result<Image, Failure> {
        let now = WrittenRevision { revision: image.revision, files: image.files };
        let revisions = std::iter::once(now).chain(image.previous);
        let revisions = revisions.map(|written| {
            let files = written.files.into_iter().map(|file| self.file(file));
            Ok(Revision { number: written.revision, files: files.collect::<Result<_, _>>()? })
        });
        Ok(Image {
            revisions: revisions.collect::<Result<_, Failure>>()?,
            name: image.image,
            revoked: image.revoked,
        })
    }

    fn file(&self, file: WrittenFile) -> Result<File, Failure> {
        let deltas =
            file.deltas.into_iter().map(|delta| Ok((delta.from, self.listed(&delta.file)?)));
        Ok(File {
            deltas: deltas.collect::<Result<_, Failure>>()?,
            role: file.role,
            itself: self.listed(&file.itself)?,
            chunks: file.chunks.map(|chunks| self.listed(&chunks)).transpose()?,
        })
    }

    fn listed(&self, file: &WrittenListed) -> Result<Listed, Failure> {
        let path = format!("{}{}", self.folder, file.path);
        let refused = |refusal: Refusal| Failure::new(Exit::Verification, refusal.to_string());
        if !is_plain(&path) {
            return Err(Failure::unreadable("file name", format!("{path:?} is not a plain one")));
        }
        match self.picture.target(&path) {
            None => Err(refused(Refusal::NotListed { path })),
            Some(target) if target.length == file.size && target.digest() == Some(file.digest) => {
                Ok(Listed { path, size: file.size, digest: file.digest })
            }
            Some(_) => Err(refused(Refusal::Changed { file: path })),
        }
    }
}

/// The document as it is written. Fields that are not needed are left out.
#[derive(Debug, Deserialize)]
struct Written {
    channel: String,
    sequence: u64,
    images: Vec<WrittenImage>,
}

#[derive(Debug, Deserialize)]
struct WrittenImage {
    image: String,
    revision: u64,
    #[serde(default)]
    previous: Option<WrittenRevision>,
    #[serde(default)]
    revoked: Vec<u64>,
    files: Vec<WrittenFile>,
}

#[derive(Debug, Deserialize)]
struct WrittenRevision {
    revision: u64,
    files: Vec<WrittenFile>,
}

#[derive(Debug, Deserialize)]
struct WrittenFile {
    role: String,
    #[serde(flatten)]
    itself: WrittenListed,
    #[serde(default)]
    chunks: Option<WrittenListed>,
    #[serde(default)]
    deltas: Vec<WrittenDelta>,
}

#[derive(Debug, Deserialize)]
struct WrittenListed {
    path: String,
    size: u64,
    digest: Digest,
}

#[derive(Debug, Deserialize)]
struct WrittenDelta {
    from: u64,
    #[serde(flatten)]
    file: WrittenListed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_tree_or_into_its_metadata() {
        for path in ["win7_1.ckm", "test/win7_1.ckm.index"] {
            assert!(is_plain(path), "{path}");
        }
        for path in
            ["../x", "a/../x", "/x", ".x", "a/.x", "a/b/c", "", "a/", "tuf/x", "TUF/x", "a\\b"]
        {
            assert!(!is_plain(path), "{path}");
        }
    }
}
