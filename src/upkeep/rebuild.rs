//! Rebuilds a lost catalog from the tree alone: its manifests say what every channel offers, its file names say what
//! else is there, and its files are the bytes.
//!
//! Clients are told the same as before: revisions, epochs and promotions are unchanged. Everything that the tree does
//! not contain is lost: users and tokens, drafts, revisions that no channel holds, notes, the history. Every byte is
//! read, and compared with its digest if a manifest has one. Nothing in the tree is changed, and nothing in the store
//! is removed: [`garbage`](super::garbage) finds what no revision of the new catalog has.

mod adopt;
mod survey;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::channel::TEST;
use crate::model::promotion::Progress;
use crate::model::{
    Channel, Promotion, PromotionKind, Publication, PublicationState, ReadAccess, Revision,
    RevisionState, Role, Terms,
};
use crate::storage::{Change, ImageRecord, StorageError, Tx};
use adopt::Adopted;
use adopt::AdoptedRevision;
pub use adopt::Rebuilt;
use survey::{FoundAssignment, FoundChannel, FoundImage, Survey};

/// The number of revision numbers to skip: the tree does not show all that were given out, and clients may know them.
pub const NUMBERS_LEFT_OUT: i64 = 100;

impl Catalog {
    /// Fills an empty catalog from the tree.
    pub async fn rebuild(&self, numbers_left_out: i64) -> Result<Rebuilt> {
        if !self.db.read().await?.is_blank().await? {
            return Err(not_empty());
        }
        let survey = self.survey().await?;
        if survey.channels.is_empty() {
            let detail =
                "the tree has no channel.json: check that it is the right tree (tree.url, --data)";
            return Err(StorageError::Unusable(detail.to_owned()).into());
        }
        let mut rebuilt = Rebuilt { left: survey.left.clone(), ..Rebuilt::default() };
        let wholes = self.adopt_all(&survey, &mut rebuilt).await?;
        // The store's recorded owner stays valid. It is read here, because no transaction may wait for a bucket.
        let owner = self.blobs.owner().await?;
        // The keys of what was signed are lost with the catalog: a new root has to be carried to clients.
        self.remove_signed_files().await?;
        // They are made again, and nobody could tell whether they are right.
        for path in &survey.transfer_files {
            self.tree.remove(path).await?;
        }
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        // Check again: reading takes long, and a server may have been started meanwhile.
        if !tx.is_blank().await? {
            return Err(not_empty());
        }
        let identity = tx.identity_or(owner.unwrap_or_else(|| self.ids.next())).await?;
        let images = self.insert_images(&mut tx, &survey, &wholes, numbers_left_out).await?;
        for channel in &survey.channels {
            self.insert_found_channel(&mut tx, channel, &survey, (&images, &wholes)).await?;
        }
        tx.skip_epochs(numbers_left_out).await?;
        let actor = Actor::system("rebuild");
        let entry =
            Entry { action: "catalog.rebuild", subject: "catalog".to_owned(), actor: &actor };
        self.audit(&mut tx, entry, NOTHING, Some(&rebuilt.left));
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        self.blobs.set_owner(identity).await?;
        rebuilt.channels = survey.channels.len();
        rebuilt.images = survey.images.len();
        rebuilt.revisions = wholes.len();
        Ok(rebuilt)
    }

    async fn insert_images(
        &self,
        tx: &mut Tx,
        survey: &Survey,
        wholes: &[AdoptedRevision],
        numbers_left_out: i64,
    ) -> Result<Vec<Uuid>> {
        let (now, mut ids) = (self.clock.now(), Vec::new());
        for (index, image) in survey.images.iter().enumerate() {
            let id = self.ids.next();
            tx.insert_image(&new_image(id, image, now)).await?;
            let highest = survey.numbers_of(index).max().unwrap_or(0);
            let next = highest.saturating_add(numbers_left_out.max(0) + 1);
            tx.set_next_revision(id, next).await?;
            let mut known = BTreeSet::new();
            for whole in wholes.iter().filter(|whole| whole.image == index) {
                let is_revoked = image.revoked.contains(&whole.number);
                let state = if is_revoked { RevisionState::Revoked } else { RevisionState::Ready };
                self.insert_whole(tx, id, whole, state).await?;
                known.insert(whole.number);
            }
            for number in image.revoked.difference(&known) {
                self.insert_bare(tx, id, *number, RevisionState::Revoked).await?;
            }
            ids.push(id);
        }
        Ok(ids)
    }

    async fn insert_whole(
        &self,
        tx: &mut Tx,
        image: Uuid,
        whole: &AdoptedRevision,
        state: RevisionState,
    ) -> Result<()> {
        let now = self.clock.now();
        let sealed_at = whole.files.iter().map(|file| file.modified).max();
        tx.insert_revision(&Revision {
            id: whole.id,
            sealed_at: Some(sealed_at.unwrap_or(now)),
            ..recovered(image, whole.number, state, now)
        })
        .await?;
        for file in &whole.files {
            let size = i64::try_from(file.size).unwrap_or(i64::MAX);
            if tx.blob(file.blob).await?.is_none() {
                tx.insert_arriving_blob(file.blob, &file.key, size, self.instance, now).await?;
                tx.settle_blob(file.blob, now).await?;
            }
            tx.insert_file(whole.id, file.role, file.blob, size, &file.digest.to_string()).await?;
        }
        Ok(())
    }

    /// Inserts a revision of which only the number is left: a revoked one, so that clients move away from it, or a
    /// tombstone.
    async fn insert_bare(
        &self,
        tx: &mut Tx,
        image: Uuid,
        number: i64,
        state: RevisionState,
    ) -> Result<Uuid> {
        let (id, now) = (self.ids.next(), self.clock.now());
        let revision =
            Revision { id, sealed_at: Some(now), ..recovered(image, number, state, now) };
        tx.insert_revision(&revision).await?;
        Ok(id)
    }

    /// Returns the revision of this number, or inserts a tombstone if its files are of no use.
    async fn find_or_insert_tombstone(
        &self,
        tx: &mut Tx,
        image: Uuid,
        number: i64,
    ) -> Result<Uuid> {
        match tx.revision(image, number).await? {
            Some(known) => Ok(known.id),
            None => self.insert_bare(tx, image, number, RevisionState::Deleted).await,
        }
    }

    async fn insert_found_channel(
        &self,
        tx: &mut Tx,
        found: &FoundChannel,
        survey: &Survey,
        (images, wholes): (&[Uuid], &[AdoptedRevision]),
    ) -> Result<()> {
        let channel = channel_of(self.ids.next(), found, self.clock.now());
        tx.insert_channel(&channel).await?;
        for path in &found.documents {
            tx.put_document(path).await?;
        }
        for assignment in &found.assignments {
            let of_image = |whole: &&AdoptedRevision| whole.image == assignment.image;
            let image = images[assignment.image];
            let assigned =
                wholes.iter().filter(of_image).find(|whole| whole.number == assignment.revision);
            let revision = match assigned {
                Some(whole) => whole.id,
                // Its files are damaged or gone. Epochs continue after it, and clients wait for another promotion.
                None => self.find_or_insert_tombstone(tx, image, assignment.revision).await?,
            };
            // Other revisions in the folder were assigned before it, the one with the highest number last.
            let mut kept: Vec<_> = wholes
                .iter()
                .filter(of_image)
                .filter(|whole| whole.number != assignment.revision && whole.is_in(&found.folder))
                .collect();
            kept.sort_by_key(|whole| whole.number);
            let place = (image, channel.id);
            for (before, whole) in (1..).zip(kept.iter().rev()) {
                let promotion = Promotion {
                    id: self.ids.next(),
                    epoch: assignment.epoch - before,
                    // A higher number means that the channel was rolled back from it.
                    rolled_back: whole.number > assignment.revision,
                    ..promotion_of(place, (whole.id, whole.number), assignment, found.issued)
                };
                tx.assign(&promotion).await?;
            }
            let numbered = (revision, assignment.revision);
            tx.assign(&promotion_of(place, numbered, assignment, found.issued)).await?;
        }
        for whole in wholes {
            for file in &whole.files {
                for (path, tag) in
                    survey.paths_in(&found.folder, whole.image, whole.number, file.role)
                {
                    tx.put_publication(&publication_of(path, channel.id, whole, file)).await?;
                    tx.put_publication_tag(path, tag).await?;
                }
            }
        }
        Ok(())
    }
}

impl AdoptedRevision {
    fn is_in(&self, folder: &str) -> bool {
        self.files.iter().all(|file| file.folders.iter().any(|other| other == folder))
    }
}

fn new_image(id: Uuid, image: &FoundImage, now: DateTime<Utc>) -> ImageRecord<'_> {
    ImageRecord {
        id,
        name: &image.name,
        kind: image.kind,
        extension: &image.extension,
        description: "",
        labels: &image.labels,
        keep_revisions: None,
        created_by: "system:rebuild",
        now,
    }
}

fn recovered(image: Uuid, number: i64, state: RevisionState, now: DateTime<Utc>) -> Revision {
    Revision {
        id: Uuid::nil(),
        image_id: image,
        number,
        state,
        notes: "recovered from the tree".to_owned(),
        labels: std::collections::BTreeMap::new(),
        protected: false,
        version: 1,
        created_by: "system:rebuild".to_owned(),
        created_at: now,
        updated_at: now,
        sealed_at: None,
    }
}

fn not_empty() -> Error {
    let detail = "the catalog is not empty, and rows are never overwritten: a server may have been started on it and have created \
                  its first channels. If it contains nothing else, remove that database and start again";
    StorageError::Unusable(detail.to_owned()).into()
}

fn channel_of(id: Uuid, found: &FoundChannel, now: DateTime<Utc>) -> Channel {
    // The same settings as at a first start.
    let is_test = found.name.as_str() == TEST;
    Channel {
        id,
        name: found.name.clone(),
        folder: found.folder.clone(),
        read_access: found.read.unwrap_or(ReadAccess::Everyone),
        keep_old: 1,
        tree_during_rollout: false,
        promoters: if is_test { vec![Role::Publisher] } else { Vec::new() },
        requires_channel: None,
        approvals: 0,
        sequence: found.sequence,
        issued_at: found.issued,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

fn promotion_of(
    (image_id, channel_id): (Uuid, Uuid),
    (revision_id, revision): (Uuid, i64),
    assignment: &FoundAssignment,
    issued: DateTime<Utc>,
) -> Promotion {
    Promotion {
        id: assignment.promotion,
        image_id,
        channel_id,
        revision_id,
        revision,
        epoch: assignment.epoch,
        kind: PromotionKind::Promote,
        terms: Terms {
            for_clients: assignment.terms.clone(),
            note: "recovered from the tree".to_owned(),
            ..Terms::default()
        },
        rolled_back: false,
        created_by: "system:rebuild".to_owned(),
        created_at: issued,
        progress: Progress::default(),
    }
}

fn publication_of(
    path: &str,
    channel_id: Uuid,
    whole: &AdoptedRevision,
    file: &Adopted,
) -> Publication {
    Publication {
        path: path.to_owned(),
        channel_id,
        revision_id: whole.id,
        role: file.role,
        blob_id: file.blob,
        digest: file.digest,
        state: PublicationState::Published,
        withdraw_at: None,
    }
}
