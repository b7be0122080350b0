//! The state that keys which are elsewhere have signed: the targets, and the documents among them with their contents.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::catalog::Result;
use crate::model::Digest;
use crate::storage::StorageError;
use crate::trust::Target;
use crate::trust::envelope::Envelope;
use crate::trust::generation::Bins;
use crate::trust::metadata::Targets;

/// The targets that are signed, and the documents among them.
#[derive(Debug, Default)]
pub struct SignedState {
    targets: BTreeMap<String, Target>,
    documents: BTreeMap<String, (Bytes, Digest)>,
}

impl SignedState {
    /// Reads the bins, and takes the documents that fit them.
    pub(super) fn of<'a>(
        bins: impl Iterator<Item = &'a [u8]>,
        documents: Vec<(String, String)>,
    ) -> Result<Self> {
        let mut state = Self::default();
        for bin in bins {
            let read = Envelope::read(bin).and_then(|envelope| envelope.content::<Targets>());
            let read = read.map_err(|error| StorageError::Damaged(error.to_string()))?;
            state.targets.extend(read.targets);
        }
        for (path, content) in documents {
            let digest = Digest::of(content.as_bytes());
            if state.names(&path, digest) {
                state.documents.insert(path, (content.into(), digest));
            }
        }
        Ok(state)
    }

    /// Reports whether a file of the tree is signed with this content.
    pub fn names(&self, path: &str, digest: Digest) -> bool {
        self.targets.get(path).is_some_and(|target| target.digest() == Some(digest))
    }

    /// Returns a document as it was signed, with its digest.
    pub fn document(&self, path: &str) -> Option<(&Bytes, Digest)> {
        self.documents.get(path).map(|(content, digest)| (content, *digest))
    }

    /// Reports whether exactly these targets are signed.
    pub(super) fn is(&self, wanted: &Bins) -> bool {
        let count: usize = wanted.values().map(BTreeMap::len).sum();
        let all = wanted.values().flatten();
        count == self.targets.len()
            && all.into_iter().all(|(path, target)| self.targets.get(path) == Some(target))
    }
}
