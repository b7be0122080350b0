//! Creates snapshots from the rows: the first one completely, later ones from the previous one and the images that have
//! changed.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::certificates::CertificateMappings;
use super::documents;
use super::picture::{
    ChannelOffer, ImageOffer, Offer, OfferedPath, OfferedPlace, OfferedRevision, OfferedTransfer,
    PreviousOffer, RevokedName, Snapshot, Tokens, TreeEntry, TreeFile,
};
use super::transfers::Transfers;
use crate::catalog::trust::files::TrustFiles;
use crate::catalog::{Result, Rules};
use crate::model::publication::in_folder;
use crate::model::{
    Channel, FileRole, ImageName, OfferedImage, Promotion, ReadAccess, TransferFile, TransferKind,
};
use crate::storage::{LingeringFile, OfferedFile, PinnedRevision, RevokedFile, Scope, Tx};

/// Returns the snapshot that follows `previous`, or none if nothing has changed.
pub(super) async fn load(
    tx: &mut Tx,
    previous: &Snapshot,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Option<Snapshot>> {
    let state = tx.catalog_state().await?;
    let mut next = match previous.version {
        Some(version) if version == state.version => return Ok(None),
        // Every path and manifest depends on the channels.
        Some(version) if version >= state.channels_changed_in => previous.clone(),
        _ => Snapshot::default(),
    };
    let since = next.version;
    next.trust = Arc::clone(&previous.trust);
    if next.trust.read_in().is_none_or(|read_in| read_in < state.trust_changed_in) {
        next.trust = Arc::new(next.trust.after(tx, state.version).await?);
    }
    next.version = Some(state.version);
    let channels: HashMap<Uuid, Channel> =
        tx.channels().await?.into_iter().map(|channel| (channel.id, channel)).collect();
    let trust = Arc::clone(&next.trust);
    let context = Context { channels: &channels, rules, trust: &trust };
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
    next.hold_documents();
    Ok(Some(next))
}

/// The context that is the same for all images.
struct Context<'a> {
    channels: &'a HashMap<Uuid, Channel>,
    rules: &'a Rules,
    trust: &'a TrustFiles,
}

impl Context<'_> {
    /// Returns the path of a revision's file in a channel's folder.
    fn path(
        &self,
        channel: &Channel,
        image: &ImageName,
        (revision, extension, role): (i64, &str, FileRole),
    ) -> String {
        let name = self.rules.pattern.file_name(image, revision, extension, role);
        in_folder(&channel.folder, &name)
    }
}

/// The rows of all images, or of one.
struct Rows {
    revoked: Vec<(Uuid, i64)>,
    revoked_files: Vec<RevokedFile>,
    lingering: Vec<LingeringFile>,
    offered: Vec<OfferedFile>,
    transfers: Transfers,
    promotions: Vec<Promotion>,
    before: Vec<Promotion>,
    withdrawals: Vec<Promotion>,
    pins: Vec<PinnedRevision>,
}

impl Rows {
    async fn read(tx: &mut Tx, scope: Scope) -> Result<Self> {
        Ok(Self {
            revoked: tx.revoked_revisions(scope).await?,
            revoked_files: tx.revoked_files(scope).await?,
            lingering: tx.lingering_files(scope).await?,
            offered: tx.offered_files(scope).await?,
            transfers: Transfers::read(tx, scope).await?,
            promotions: tx.promotions_in_force(scope).await?,
            before: tx.promotions_before_those_in_force(scope).await?,
            withdrawals: tx.withdrawals_in_force(scope).await?,
            pins: tx.pinned_revisions(scope).await?,
        })
    }
}

/// The files of the revisions that some client may be offered, by image, channel and revision.
struct Offered(HashMap<(Uuid, Uuid, Uuid), Arc<[OfferedPath]>>);

impl Offered {
    /// Returns a revision in a channel. It has no files while it is in quarantine, or if nobody is offered it any more.
    fn revision(&self, place: (Uuid, Uuid), revision: Uuid, number: i64) -> OfferedRevision {
        let files = self.0.get(&(place.0, place.1, revision)).cloned().unwrap_or_default();
        OfferedRevision { number, files }
    }
}

fn by_place(promotion: Promotion) -> ((Uuid, Uuid), Promotion) {
    ((promotion.image_id, promotion.channel_id), promotion)
}

impl Snapshot {
    fn remove_image(&mut self, id: Uuid) {
        self.images.retain(|_, offer| offer.image.id != id);
        for path in self.paths.remove(&id).unwrap_or_default() {
            self.tree.remove(&path);
        }
    }

    fn add(&mut self, living: Vec<OfferedImage>, rows: Rows, context: &Context<'_>) {
        let blank = |image: OfferedImage| (image.id, ImageOffer::blank(image));
        let mut images: HashMap<Uuid, ImageOffer> = living.into_iter().map(blank).collect();
        for (image, number) in rows.revoked {
            if let Some(image) = images.get_mut(&image) {
                image.revoked.insert(number);
            }
        }
        for file in rows.revoked_files {
            if let Some(image) = images.get(&file.image_id) {
                self.add_revoked(&file, &image.image.name, context);
            }
        }
        // Lingering files come before offered ones: an offered file of the same name replaces a lingering one.
        for file in rows.lingering {
            self.add_lingering(file, context);
        }
        let offered = self.add_all_offered(&images, &rows.offered, &rows.transfers, context);
        let mut before: HashMap<_, _> = rows.before.into_iter().map(by_place).collect();
        for promotion in rows.promotions {
            let key = (promotion.image_id, promotion.channel_id);
            let (Some(channel), Some(image)) =
                (context.channels.get(&key.1), images.get_mut(&key.0))
            else {
                continue;
            };
            let before = before.remove(&key).map(|promotion| PreviousOffer {
                revision: offered.revision(key, promotion.revision_id, promotion.revision),
                promotion,
            });
            let assigned = offered.revision(key, promotion.revision_id, promotion.revision);
            let offer = Offer { promotion, assigned, before };
            image.offers.insert(channel.name.key(), Arc::new(offer));
        }
        for pin in rows.pins {
            let key = (pin.image_id, pin.channel_id);
            let (Some(channel), Some(image)) =
                (context.channels.get(&key.1), images.get_mut(&key.0))
            else {
                continue;
            };
            let revision = offered.revision(key, pin.revision_id, pin.revision);
            image.pins.entry(channel.name.key()).or_default().insert(pin.client_key, revision);
        }
        for withdrawal in rows.withdrawals {
            if let (Some(channel), Some(image)) =
                (context.channels.get(&withdrawal.channel_id), images.get_mut(&withdrawal.image_id))
            {
                image.withdrawn.insert(channel.name.key(), Arc::new(withdrawal));
            }
        }
        let by_name = |offer: ImageOffer| (offer.image.name.key(), Arc::new(offer));
        self.images.extend(images.into_values().map(by_name));
    }

    fn add_all_offered(
        &mut self,
        images: &HashMap<Uuid, ImageOffer>,
        files: &[OfferedFile],
        transfers: &Transfers,
        context: &Context<'_>,
    ) -> Offered {
        let mut offered: HashMap<(Uuid, Uuid, Uuid), Vec<OfferedPath>> = HashMap::new();
        for file in files {
            let Some(image) = images.get(&file.image_id) else { continue };
            let key = (file.image_id, file.channel_id, file.revision_id);
            let beside: Vec<_> = transfers.beside(file).collect();
            if let Some(path) = self.add_offered(file, &beside, &image.image.name, context) {
                offered.entry(key).or_default().push(path);
            }
        }
        Offered(offered.into_iter().map(|(key, files)| (key, Arc::from(files))).collect())
    }

    fn add_offered(
        &mut self,
        file: &OfferedFile,
        beside: &[&TransferFile],
        image: &ImageName,
        context: &Context<'_>,
    ) -> Option<OfferedPath> {
        let channel = context.channels.get(&file.channel_id)?;
        let path = context.path(channel, image, (file.revision, &file.extension, file.role));
        let entry = |path: &str, blob_key: &str, size, digest| TreeFile {
            image: image.clone(),
            read_access: channel.read_access,
            blob_key: blob_key.to_owned(),
            size,
            digest,
            sealed_at: file.sealed_at,
            offered: Some(OfferedPlace {
                path: path.to_owned(),
                channel: channel.name.clone(),
                revision: file.revision,
                role: file.role,
            }),
        };
        let mut transfers = Vec::new();
        for transfer in beside {
            let TransferFile { size, digest, .. } = **transfer;
            let path = transfer.kind().beside(&path);
            let entry = entry(&path, &transfer.blob_key, size, digest);
            self.add_entry(file.image_id, &path, TreeEntry::File(Arc::new(entry)));
            transfers.push(OfferedTransfer { kind: transfer.kind(), path, size, digest });
        }
        transfers.sort_unstable_by_key(|transfer| transfer.kind);
        let whole = entry(&path, &file.blob_key, file.size, file.digest);
        self.add_entry(file.image_id, &path, TreeEntry::File(Arc::new(whole)));
        let (role, size, digest) = (file.role, file.size, file.digest);
        Some(OfferedPath { role, path, size, digest, transfers: transfers.into() })
    }

    /// Adds a name that the file had, or would have had, so that a client that requests it learns why it is gone.
    fn add_revoked(&mut self, file: &RevokedFile, image: &ImageName, context: &Context<'_>) {
        let Some(channel) = context.channels.get(&file.channel_id) else { return };
        let path = context.path(channel, image, (file.revision, &file.extension, file.role));
        let entry = Arc::new(RevokedName {
            image: image.clone(),
            revision: file.revision,
            read_access: channel.read_access,
        });
        let chunks = TransferKind::Chunks.beside(&path);
        for path in [path, chunks] {
            self.add_entry(file.image_id, &path, TreeEntry::Revoked(Arc::clone(&entry)));
        }
    }

    fn add_lingering(&mut self, file: LingeringFile, context: &Context<'_>) {
        // An index leaves at once, so that no client begins to fetch; but readers of signed metadata still have to.
        let is_held = || context.trust.holds(&file.path, file.digest);
        if file.role == FileRole::Index && !is_held() {
            return;
        }
        // If the channel was deleted, it is unknown who may read the file.
        let channel = context.channels.get(&file.channel_id);
        let entry = TreeFile {
            image: file.image,
            read_access: channel.map_or(ReadAccess::Authenticated, |channel| channel.read_access),
            blob_key: file.blob_key,
            size: file.size,
            digest: file.digest,
            sealed_at: file.sealed_at,
            offered: None,
        };
        self.add_entry(file.image_id, &file.path, TreeEntry::File(Arc::new(entry)));
    }

    fn add_entry(&mut self, image: Uuid, path: &str, entry: TreeEntry) {
        let key: Arc<str> = path.to_ascii_lowercase().into();
        self.paths.entry(image).or_default().push(Arc::clone(&key));
        self.tree.insert(key, entry);
    }

    /// Adds the channel. Its documents are created again only if its offer has changed, because they name every image,
    /// and most changes concern another channel.
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
