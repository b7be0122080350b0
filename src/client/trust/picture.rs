//! The picture of a tree at one moment: which files belong together, and what they say.

use std::collections::BTreeMap;

use super::source::now;
use crate::trust::role::{FileName, RoleName};
use crate::trust::{Moment, Target, Walk};

/// The need for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Must,
    /// A copy of some channels lacks the documents of others.
    IfThere,
}

/// The files of a tree's metadata at one moment. They are on the disk, verified.
#[derive(Debug)]
pub struct Picture {
    pub(super) walk: Walk,
    /// The files that belong together, the roots among them.
    pub(super) files: Vec<FileName>,
    pub(super) timestamp: Vec<u8>,
    pub(super) documents: BTreeMap<String, Vec<u8>>,
}

impl Picture {
    /// Returns what was signed of a file; none if the depot does not offer it.
    pub fn target(&self, path: &str) -> Option<&Target> {
        self.walk.target(path)
    }

    /// Returns everything that was signed.
    pub fn targets(&self) -> impl Iterator<Item = (String, Target)> {
        RoleName::bins().flat_map(|bin| self.walk.targets_of_bin(bin))
    }

    /// Returns the documents that were asked for, by their paths below the tree's root.
    pub const fn documents(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.documents
    }

    /// Returns the files that have a version in their names.
    pub fn files(&self) -> &[FileName] {
        &self.files
    }

    pub fn timestamp(&self) -> &[u8] {
        &self.timestamp
    }

    /// Returns the time from which nobody believes these files any more.
    pub fn expires(&self) -> Moment {
        self.walk.expires()
    }

    /// Reports whether the files are believed now.
    pub fn is_fresh(&self) -> bool {
        now() < self.expires()
    }
}
