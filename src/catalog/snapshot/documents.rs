//! The documents of a channel's folder with their contents. They are pure functions of the catalog's rows, so that
//! every replica and the physical tree have the same bytes.
//!
//! [`FolderDocument`] defines which documents there are, and how they are served.

use super::picture::{ImageOffer, OfferedPath, OfferedRevision, OfferedTransfer, WrittenDocument};
use crate::catalog::manifest::{self, Manifest};
use crate::model::{Channel, Digest, FolderDocument, Promotion, ReadAccess, Rollout};

/// Returns all documents of a channel's folder.
pub(super) fn of_channel<'a>(
    channel: &Channel,
    images: impl Iterator<Item = &'a ImageOffer>,
) -> Vec<WrittenDocument> {
    let manifest = manifest_of(channel, images);
    let written = |document: &FolderDocument| {
        let content = match document {
            FolderDocument::Manifest => manifest.to_bytes(),
        };
        WrittenDocument { document: *document, digest: Digest::of(&content), content }
    };
    FolderDocument::ALL.iter().map(written).collect()
}

/// Returns the manifest, with the images in the order of their names.
fn manifest_of<'a>(channel: &Channel, images: impl Iterator<Item = &'a ImageOffer>) -> Manifest {
    let mut images: Vec<_> = images.filter_map(|image| entry(image, channel)).collect();
    images.sort_by_key(|image| image.image.key());
    Manifest {
        channel: channel.name.clone(),
        sequence: channel.sequence,
        issued: channel.issued_at,
        expires: manifest::expiry(channel),
        read: (channel.read_access != ReadAccess::Everyone).then_some(channel.read_access),
        images,
    }
}

/// Returns the entry of an image, or none if the folder holds nothing of it: nothing is assigned, the revision is in
/// quarantine, or the folder waits for the image's first rollout.
fn entry(image: &ImageOffer, channel: &Channel) -> Option<manifest::Image> {
    let offer = image.offer(&channel.name)?;
    let waits = offer.folder_waits(channel)
        || (offer.promotion.progress.under_way && !offer.assigned.is_ready());
    let (promotion, revision) = if waits {
        let before = offer.before.as_ref()?;
        (&before.promotion, &before.revision)
    } else {
        (&offer.promotion, &offer.assigned)
    };
    if !revision.is_ready() {
        return None;
    }
    let is_rolling = offer.promotion.progress.under_way && !waits;
    let mut revoked: Vec<_> = image.revoked.iter().copied().collect();
    revoked.sort_unstable();
    Some(manifest::Image {
        image: image.image.name.clone(),
        revision: promotion.revision,
        epoch: promotion.epoch,
        promotion: promotion.id,
        terms: promotion.terms.for_clients.clone(),
        rollout: is_rolling.then(|| rolling(promotion)),
        previous: if is_rolling { offer.previous().map(previous) } else { None },
        revoked,
        files: files(revision),
    })
}

/// Returns the rollout as readers of a static copy apply it. A stop without a definition of its own is shown as a pause.
fn rolling(promotion: &Promotion) -> Rollout {
    let mut rollout = promotion.terms.rollout.clone();
    rollout.paused |= promotion.progress.halted.is_some();
    // Readers do not know when the promotion was made, from which steps count.
    rollout.start.get_or_insert(promotion.created_at);
    rollout
}

fn previous(revision: &OfferedRevision) -> manifest::Previous {
    manifest::Previous { revision: revision.number, files: files(revision) }
}

fn files(revision: &OfferedRevision) -> Vec<manifest::File> {
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let beside = |transfer: &OfferedTransfer| manifest::Extra {
        path: file_name(&transfer.path),
        size: transfer.size,
        digest: transfer.digest,
    };
    let file = |file: &OfferedPath| manifest::File {
        role: file.role,
        path: file_name(&file.path),
        size: file.size,
        digest: file.digest,
        chunks: file.chunks().map(beside),
        deltas: file
            .deltas()
            .map(|(from, delta)| manifest::Delta { from, file: beside(delta) })
            .collect(),
    };
    revision.files.iter().map(file).collect()
}
