//! The state that keys which are elsewhere have signed, while a newer one waits for them.
//!
//! A document changes beside its metadata. Readers that believe the metadata could not take the new one before that is
//! signed, so they get the document that was. The files that it names stay meanwhile (`publication::inventory`). If one
//! of them is gone, because it was revoked or taken back, the new document is shown at once, whoever can read it.

use std::collections::HashMap;
use std::sync::Arc;

use super::picture::{ChannelOffer, Snapshot, TreeEntry, WrittenDocument};
use crate::catalog::manifest::{File, Image, Manifest};
use crate::model::publication::in_folder;
use crate::model::{ChannelName, Digest, FolderDocument, ImageName};

impl Snapshot {
    /// Returns a document as readers get it: the one that was signed, while the new one waits.
    pub fn shown<'a>(&'a self, folder: &str, written: &'a WrittenDocument) -> &'a WrittenDocument {
        if self.held.is_empty() {
            return written;
        }
        let path = written.document.path_in(folder).to_ascii_lowercase();
        self.held.get(&path).unwrap_or(written)
    }

    /// Returns the sequence of each channel's manifest as readers get it, by the channel's key.
    pub fn shown_sequences(&self) -> HashMap<String, i64> {
        let shown = |(key, offer): (&String, &Arc<ChannelOffer>)| {
            (key.clone(), self.shown_sequence(offer).unwrap_or(offer.channel.sequence))
        };
        self.channels.iter().map(shown).collect()
    }

    /// Returns the sequence of a manifest that stays as it was signed.
    fn shown_sequence(&self, offer: &ChannelOffer) -> Option<i64> {
        if self.held.is_empty() {
            return None;
        }
        let of_manifest = |written: &&WrittenDocument| written.document == FolderDocument::Manifest;
        let manifest = offer.documents.iter().find(of_manifest)?;
        let path = manifest.document.path_in(&offer.channel.folder).to_ascii_lowercase();
        let held: Manifest = serde_json::from_slice(&self.held.get(&path)?.content).ok()?;
        Some(held.sequence)
    }

    /// Reports whether what a channel offers of an image is signed. It always is, a moment later, unless the keys are
    /// elsewhere.
    pub fn is_signed(&self, image: &ImageName, channel: &ChannelName) -> bool {
        let Some(signed) = self.trust.elsewhere() else { return true };
        let offer = self.image(image).and_then(|image| image.offer(channel));
        let (Some(offer), Some(place)) = (offer, self.channel(channel)) else { return true };
        let files = offer.assigned.files.iter();
        let are_signed = files.into_iter().all(|file| signed.names(&file.path, file.digest));
        are_signed
            && place.documents.iter().all(|written| {
                let path = written.document.path_in(&place.channel.folder);
                let before = signed.document(&path).map(|(content, _)| entry(content, image));
                signed.names(&path, written.digest)
                    || before.is_some_and(|before| before == entry(&written.content, image))
            })
    }

    pub(super) fn hold_documents(&mut self) {
        self.held.clear();
        let Some(signed) = self.trust.elsewhere().cloned() else { return };
        let mut held = Vec::new();
        for offer in self.channels.values() {
            let folder = &offer.channel.folder;
            for written in &offer.documents {
                let path = written.document.path_in(folder);
                let Some((content, digest)) = signed.document(&path) else { continue };
                if digest != written.digest && self.has_files_of(content, folder) {
                    let content = content.clone();
                    let document = WrittenDocument { content, digest, ..written.clone() };
                    held.push((path.to_ascii_lowercase(), document));
                }
            }
        }
        self.held.extend(held);
    }

    /// Reports whether all files that a document names can be had.
    fn has_files_of(&self, document: &[u8], folder: &str) -> bool {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(document) else { return false };
        let of_image = |image: Image| {
            let before = image.previous.into_iter().flat_map(|previous| previous.files);
            image.files.into_iter().chain(before)
        };
        let mut files = manifest.images.into_iter().flat_map(of_image);
        files.all(|File { path, digest, .. }| self.has_file(&in_folder(folder, &path), digest))
    }

    /// Reports whether a file can be had.
    pub fn has_file(&self, path: &str, digest: Digest) -> bool {
        matches!(self.tree_entry(path), Some(TreeEntry::File(file)) if file.digest == digest)
    }
}

/// Returns the promotion of an image that a document names.
fn entry(document: &[u8], image: &ImageName) -> Option<(uuid::Uuid, i64)> {
    let manifest: Manifest = serde_json::from_slice(document).ok()?;
    let found = manifest.images.into_iter().find(|entry| entry.image.key() == image.key())?;
    Some((found.promotion, found.revision))
}
