//! Making a snapshot from the rows: the first one whole, those after it from the one before and the
//! images that changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::certificates::CertificateMappings;
use super::documents;
use super::picture::{
    ChannelOffer, ImageOffer, Offer, OfferedPath, Snapshot, Tokens, TreeEntry, TreeFile,
};
use crate::catalog::{Result, Rules};
use crate::model::publication::in_folder;
use crate::model::{Channel, ImageName, OfferedImage, Promotion, ReadAccess};
use crate::storage::{LingeringFile, OfferedFile, Scope, Tx};

/// The snapshot that follows `previous`; none where nothing has changed.
pub(super) async fn load(
    tx: &mut Tx,
    previous: &Snapshot,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Option<Snapshot>> {
    let state = tx.catalog_state().await?;
    let mut next = match previous.version {
        Some(version) if version == state.version => return Ok(None),
        // Every path and manifest hangs on the channels.
        Some(version) if version >= state.channels_changed_in => previous.clone(),
        _ => Snapshot::default(),
    };
    let since = next.version;
    next.version = Some(state.version);
    let channels: HashMap<Uuid, Channel> =
        tx.channels().await?.into_iter().map(|channel| (channel.id, channel)).collect();
    let context = Context { channels: &channels, rules };
    match since {
        None => {
            let rows = Rows::read(tx, Scope::All).await?;
            next.add(tx.offered_images().await?, rows, &context);
        }
        Some(since) => {
            for (id,) in tx.images_changed_after(since).await? {
                next.remove_image(id);
                let rows = Rows::read(tx, Scope::Image(id)).await?;
                let living = tx.offered_image(id).await?;
                next.add(living.into_iter().collect(), rows, &context);
            }
        }
    }
    for channel in channels.into_values() {
        next.put_channel(channel);
    }
    next.accounts = tx
        .accounts()
        .await?
        .into_iter()
        .map(|account| (account.name.key(), Arc::new(account)))
        .collect();
    if since.is_none_or(|since| state.tokens_changed_in > since) {
        next.tokens = Arc::new(Tokens {
            by_id: tx
                .live_tokens(now)
                .await?
                .into_iter()
                .map(|token| (token.id, Arc::new(token)))
                .collect(),
            keys: tx.signing_keys().await?,
        });
    }
    if since.is_none_or(|since| since < state.mappings_changed_in) {
        next.certificate_mappings =
            Arc::new(CertificateMappings::new(tx.certificate_mappings().await?));
    }
    Ok(Some(next))
}

/// What is the same for all images.
struct Context<'a> {
    channels: &'a HashMap<Uuid, Channel>,
    rules: &'a Rules,
}

/// The rows of all images, or of one.
struct Rows {
    revoked: Vec<(Uuid, i64)>,
    lingering: Vec<LingeringFile>,
    offered: Vec<OfferedFile>,
    promotions: Vec<Promotion>,
}

impl Rows {
    async fn read(tx: &mut Tx, scope: Scope) -> Result<Self> {
        Ok(Self {
            revoked: tx.revoked_revisions(scope).await?,
            lingering: tx.lingering_files(scope).await?,
            offered: tx.offered_files(scope).await?,
            promotions: tx.promotions_in_force(scope).await?,
        })
    }
}

impl Snapshot {
    fn remove_image(&mut self, id: Uuid) {
        self.images.retain(|_, offer| offer.image.id != id);
        for path in self.paths.remove(&id).unwrap_or_default() {
            self.tree.remove(&path);
        }
    }

    fn add(&mut self, living: Vec<OfferedImage>, rows: Rows, context: &Context<'_>) {
        let offer = |image: OfferedImage| {
            (image.id, ImageOffer { image, revoked: HashSet::new(), offers: HashMap::new() })
        };
        let mut images: HashMap<Uuid, ImageOffer> = living.into_iter().map(offer).collect();
        for (image, number) in rows.revoked {
            if let Some(image) = images.get_mut(&image) {
                image.revoked.insert(number);
            }
        }
        // What lingers first: an offered file of the same name takes its place.
        for file in rows.lingering {
            self.add_lingering(file, context);
        }
        let mut offered: HashMap<(Uuid, Uuid, Uuid), Vec<OfferedPath>> = HashMap::new();
        for file in rows.offered {
            let Some(image) = images.get(&file.image_id) else { continue };
            let key = (file.image_id, file.channel_id, file.revision_id);
            if let Some(path) = self.add_offered(file, &image.image.name, context) {
                offered.entry(key).or_default().push(path);
            }
        }
        for promotion in rows.promotions {
            let key = (promotion.image_id, promotion.channel_id);
            let (Some(channel), Some(image)) =
                (context.channels.get(&key.1), images.get_mut(&key.0))
            else {
                continue;
            };
            // None while the revision is in quarantine.
            let files = offered.remove(&(key.0, key.1, promotion.revision_id)).unwrap_or_default();
            image.offers.insert(channel.name.key(), Arc::new(Offer { promotion, files }));
        }
        let by_name = |offer: ImageOffer| (offer.image.name.key(), Arc::new(offer));
        self.images.extend(images.into_values().map(by_name));
    }

    fn add_offered(
        &mut self,
        file: OfferedFile,
        image: &ImageName,
        context: &Context<'_>,
    ) -> Option<OfferedPath> {
        let channel = context.channels.get(&file.channel_id)?;
        let name =
            context.rules.pattern.file_name(image, file.revision, &file.extension, file.role);
        let path = in_folder(&channel.folder, &name);
        let offered = OfferedPath {
            role: file.role,
            path: path.clone(),
            size: file.size,
            digest: file.digest,
        };
        let entry = TreeFile {
            image: image.clone(),
            read_access: channel.read_access,
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
        };
        self.add_file(file.image_id, &path, entry);
        Some(offered)
    }

    fn add_lingering(&mut self, file: LingeringFile, context: &Context<'_>) {
        // Of a deleted channel nobody can say any more who may read it.
        let channel = context.channels.get(&file.channel_id);
        let entry = TreeFile {
            image: file.image,
            read_access: channel.map_or(ReadAccess::Authenticated, |channel| channel.read_access),
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
        };
        self.add_file(file.image_id, &file.path, entry);
    }

    fn add_file(&mut self, image: Uuid, path: &str, file: TreeFile) {
        let key: Arc<str> = path.to_ascii_lowercase().into();
        self.paths.entry(image).or_default().push(Arc::clone(&key));
        self.tree.insert(key, TreeEntry::File(Arc::new(file)));
    }

    /// Puts the channel in, with documents made anew only if what it offers has changed: they name
    /// every image, and most changes concern another channel.
    fn put_channel(&mut self, channel: Channel) {
        let key = channel.name.key();
        let documents = match self.channels.get(&key) {
            Some(before) if before.channel.sequence == channel.sequence => before.documents.clone(),
            _ => documents::of_channel(&channel, self.images.values().map(AsRef::as_ref)),
        };
        let offer = Arc::new(ChannelOffer { channel, documents });
        for written in &offer.documents {
            let path = written.document.path_in(&offer.channel.folder).to_ascii_lowercase();
            let entry = TreeEntry::Document(Arc::clone(&offer), written.clone());
            self.tree.insert(path.into(), entry);
        }
        self.channels.insert(key, offer);
    }
}
