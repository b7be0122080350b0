//! The tree at one moment, as a request finds it: the metadata, the documents, the files, and what has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::left::Left;
use super::library::Wanted;
use super::problem::Problem;
use crate::client::error::Failure;
use crate::client::mirror::manifest::{NAME, is_plain};
use crate::client::trust::picture::Picture;
use crate::trust::role::{FOLDER, FileName, RoleName};

/// A channel, as far as its document says how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Channel {
    #[serde(rename = "channel")]
    pub name: String,
    pub sequence: u64,
    #[serde(default)]
    read: Option<String>,
}

impl Channel {
    /// Reports whether reading asks for credentials. Words that this program does not know do.
    pub fn is_closed(&self) -> bool {
        self.read.as_deref().is_some_and(|read| read != "everyone")
    }
}

/// The thing that a path of the tree names.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    Timestamp,
    Metadata(FileName),
    /// The document of a channel, by its path.
    Document(String),
    File(Wanted),
}

/// The tree at one moment.
#[derive(Debug)]
pub struct Moment {
    pub picture: Arc<Picture>,
    /// By the paths of their documents.
    channels: BTreeMap<String, Channel>,
    /// The files of the metadata that were replaced a while ago, for those who are in the middle of a walk.
    pub replaced: BTreeSet<FileName>,
    left: BTreeMap<String, Left>,
}

impl Moment {
    pub fn new(
        picture: Arc<Picture>,
        replaced: BTreeSet<FileName>,
        left: BTreeMap<String, Left>,
    ) -> Result<Self, Failure> {
        let read = |(path, bytes): (&String, &Vec<u8>)| {
            let channel: Channel =
                serde_json::from_slice(bytes).map_err(|error| Failure::unreadable(path, error))?;
            Ok((path.clone(), channel))
        };
        let channels = picture.documents().iter().map(read).collect::<Result<_, Failure>>()?;
        Ok(Self { picture, channels, replaced, left })
    }

    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// Finds what a path names. A file that has left the list and that upstream still has is one, too.
    pub fn find(&self, path: &str) -> Result<Named, Problem> {
        if let Some((folder, name)) = path.split_once('/')
            && folder.eq_ignore_ascii_case(FOLDER)
        {
            let name: FileName =
                name.to_ascii_lowercase().parse().map_err(|_| Problem::not_found())?;
            return match name {
                FileName::Timestamp => Ok(Named::Timestamp),
                name if self.picture.files().contains(&name) || self.replaced.contains(&name) => {
                    Ok(Named::Metadata(name))
                }
                FileName::Versioned(..) => Err(Problem::not_found()),
            };
        }
        if self.channels.contains_key(path) {
            return Ok(Named::Document(path.to_owned()));
        }
        // A folder without a document is one of which nobody knows who may read it.
        if !is_plain(path) || !self.channels.contains_key(&document_of(path)) {
            return Err(self.gone(path));
        }
        if let Some(target) = self.picture.target(path) {
            let digest = target.digest().ok_or_else(Problem::not_found)?;
            return Ok(Named::File(Wanted { path: path.to_owned(), size: target.length, digest }));
        }
        match self.left.get(path) {
            Some(Left { size, digest, status: None, .. }) => {
                Ok(Named::File(Wanted { path: path.to_owned(), size: *size, digest: *digest }))
            }
            _ => Err(self.gone(path)),
        }
    }

    /// Returns the answer for what is not there, or not any more.
    fn gone(&self, path: &str) -> Problem {
        let status = self.left.get(path).and_then(|left| left.status);
        status.map_or_else(Problem::not_found, Problem::gone)
    }

    /// Returns the path of the document whose readers may read what is named; none if everyone may.
    pub fn closed_by(&self, path: &str) -> Option<&str> {
        let is_closed = |(_, channel): &(&String, &Channel)| channel.is_closed();
        if let Some((folder, name)) = path.split_once('/')
            && folder.eq_ignore_ascii_case(FOLDER)
        {
            // The bins name all images, so they are as closed as the most closed channel.
            let name = name.to_ascii_lowercase().parse();
            let is_bin = matches!(name, Ok(FileName::Versioned(RoleName::Bin(_), _)));
            let closed = self.channels.iter().find(is_closed).filter(|_| is_bin);
            return closed.map(|(path, _)| path.as_str());
        }
        let (path, channel) = self.channels.get_key_value(&document_of(path))?;
        channel.is_closed().then_some(path.as_str())
    }
}

/// Returns the path of the document of the folder that a path is in.
fn document_of(path: &str) -> String {
    path.rsplit_once('/').map_or_else(|| NAME.to_owned(), |(folder, _)| format!("{folder}/{NAME}"))
}
