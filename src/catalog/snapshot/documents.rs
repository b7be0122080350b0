//! The documents of a channel's folder with their contents. They are pure functions of the catalog's rows, so that
//! every replica and the physical tree have the same bytes.
//!
//! [`FolderDocument`] defines which documents there are, and how they are served.

use super::picture::{ImageOffer, OfferedPath, WrittenDocument};
use crate::catalog::manifest::{self, Manifest};
use crate::model::{Channel, Digest, FolderDocument, ReadAccess};

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

fn entry(image: &ImageOffer, channel: &Channel) -> Option<manifest::Image> {
    // A revision in quarantine has no files to list.
    let offer = image.offer(&channel.name).filter(|offer| !offer.files.is_empty())?;
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let file = |file: &OfferedPath| manifest::File {
        role: file.role,
        path: file_name(&file.path),
        size: file.size,
        digest: file.digest,
    };
    let mut revoked: Vec<_> = image.revoked.iter().copied().collect();
    revoked.sort_unstable();
    Some(manifest::Image {
        image: image.image.name.clone(),
        revision: offer.promotion.revision,
        epoch: offer.promotion.epoch,
        promotion: offer.promotion.id,
        terms: offer.promotion.terms.for_clients.clone(),
        revoked,
        files: offer.files.iter().map(file).collect(),
    })
}
