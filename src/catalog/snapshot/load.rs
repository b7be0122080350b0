//! Making a snapshot from the rows.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{ChannelOffer, ImageOffer, Offer, OfferedPath, Snapshot, TreeEntry, TreeFile};
use crate::catalog::{Result, Rules, manifest};
use crate::model::publication::in_folder;
use crate::model::{Channel, Digest, ImageName, ReadAccess};
use crate::storage::{LingeringFile, OfferedFile, Tx};

pub(super) async fn load(tx: &mut Tx, version: i64, rules: &Rules) -> Result<Snapshot> {
    let channels: HashMap<Uuid, Channel> =
        tx.channels().await?.into_iter().map(|channel| (channel.id, channel)).collect();
    let mut images: HashMap<Uuid, ImageOffer> = tx
        .image_names()
        .await?
        .into_iter()
        .map(|(id, name)| {
            (id, ImageOffer { id, name, revoked: std::collections::HashSet::new(), offers: HashMap::new() })
        })
        .collect();
    for (image, number) in tx.revoked_revisions().await? {
        if let Some(image) = images.get_mut(&image) {
            image.revoked.insert(number);
        }
    }
    let mut snapshot = Snapshot { version: Some(version), ..Snapshot::default() };

    // What lingers first: an offered file of the same name takes its place.
    for file in tx.lingering_files().await? {
        snapshot.linger(file, &channels);
    }
    let mut assigned: HashMap<(Uuid, Uuid), Vec<OfferedPath>> = HashMap::new();
    for file in tx.offered_files().await? {
        let (Some(channel), Some(image)) = (channels.get(&file.channel_id), images.get(&file.image_id)) else {
            continue;
        };
        let path = tree_path(channel, &image.name, &file, rules);
        if file.age == 0 {
            let offered = OfferedPath { role: file.role, path: path.clone(), size: file.size, digest: file.digest };
            assigned.entry((file.image_id, file.channel_id)).or_default().push(offered);
        }
        let entry = TreeFile {
            image: image.name.clone(),
            read_access: channel.read_access,
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
        };
        snapshot.tree.insert(path.to_ascii_lowercase(), TreeEntry::File(Arc::new(entry)));
    }
    for promotion in tx.promotions_in_force().await? {
        let key = (promotion.image_id, promotion.channel_id);
        let (Some(channel), Some(image)) = (channels.get(&key.1), images.get_mut(&key.0)) else { continue };
        let files = assigned.remove(&key).unwrap_or_default();
        image.offers.insert(channel.name.key(), Arc::new(Offer { promotion, files }));
    }

    snapshot.images = images.into_values().map(|image| (image.name.key(), image)).collect();
    for channel in channels.into_values() {
        snapshot.add_channel(channel);
    }
    snapshot.accounts =
        tx.accounts().await?.into_iter().map(|account| (account.name.key(), Arc::new(account))).collect();
    Ok(snapshot)
}

impl Snapshot {
    fn linger(&mut self, file: LingeringFile, channels: &HashMap<Uuid, Channel>) {
        // Of a deleted channel nobody can say any more who may read it.
        let access = channels.get(&file.channel_id).map_or(ReadAccess::Authenticated, |channel| channel.read_access);
        let entry = TreeFile {
            image: file.image,
            read_access: access,
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
        };
        self.tree.insert(file.path.to_ascii_lowercase(), TreeEntry::File(Arc::new(entry)));
    }

    fn add_channel(&mut self, channel: Channel) {
        let manifest = manifest::render(&channel, self.images.values());
        let path = in_folder(&channel.folder, manifest::FILE_NAME);
        let offer = Arc::new(ChannelOffer { manifest_digest: Digest::of(&manifest), manifest, channel });
        self.tree.insert(path.to_ascii_lowercase(), TreeEntry::Manifest(Arc::clone(&offer)));
        self.channels.insert(offer.channel.name.key(), offer);
    }
}

fn tree_path(channel: &Channel, image: &ImageName, file: &OfferedFile, rules: &Rules) -> String {
    in_folder(&channel.folder, &rules.pattern.file_name(image, file.revision, &file.extension, file.role))
}
