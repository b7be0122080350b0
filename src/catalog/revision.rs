//! Revisions: created as drafts, then sealed. A sealed revision never changes, and no number is used twice. The end of
//! a revision is in `end`.

pub mod end;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::{Entry, NOTHING};
use super::image::{check_labels, living_image, locked_image};
use super::{Actor, Catalog, ChangeContext, Error, Precondition, Result};
use crate::model::{
    File, FileRole, Image, ImageName, Labels, Revision, RevisionState, Role, metric,
};
use crate::storage::Tx;

/// A revision with its image and its files.
#[derive(Debug, Clone)]
pub struct RevisionDetails {
    pub image: Image,
    pub revision: Revision,
    pub files: Vec<File>,
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RevisionChange {
    pub notes: Option<String>,
    pub labels: Option<Labels>,
    pub protected: Option<bool>,
}

impl RevisionDetails {
    pub fn file(&self, role: FileRole) -> Result<&File> {
        self.files.iter().find(|file| file.role == role).ok_or(Error::FileNotFound(role))
    }

    /// Returns what the audit keeps of the revision.
    fn shown(&self) -> Value {
        let revision = &self.revision;
        let files = self.files.iter().map(|file| (file.role.to_string(), file.digest.to_string()));
        json!({
            "state": revision.state, "notes": revision.notes, "labels": revision.labels,
            "protected": revision.protected, "files": files.collect::<BTreeMap<_, _>>(),
        })
    }

    pub(crate) fn subject(&self) -> String {
        format!("images/{}/revisions/{}", self.image.name, self.revision.number)
    }

    /// Refuses other actors than the draft's creator. An administrator may do everything that the creator may.
    pub(super) fn must_be_own_draft(&self, actor: &Actor) -> Result<()> {
        if actor.holds(Role::Admin) || self.revision.created_by == actor.name {
            return Ok(());
        }
        Err(Error::Forbidden(
            "the draft belongs to another caller: only its creator or an admin may fill and seal it; create your own",
        ))
    }

    /// Reports whether the caller may delete the revision, and remove its protection from deletion.
    fn may_be_deleted_by(&self, actor: &Actor) -> bool {
        let is_draft = self.revision.state == RevisionState::Draft;
        actor.holds(Role::Admin) || (is_draft && self.revision.created_by == actor.name)
    }

    pub(super) fn entry<'a>(&self, action: &'static str, actor: &'a Actor) -> Entry<'a> {
        Entry { action, subject: self.subject(), actor }
    }
}

impl Catalog {
    pub async fn create_draft(
        &self,
        actor: &Actor,
        name: &ImageName,
        change: RevisionChange,
    ) -> Result<RevisionDetails> {
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, name).await?;
        let details = self.create_draft_within(&mut tx, actor, image, change).await?;
        tx.commit().await?;
        Ok(details)
    }

    /// Creates a draft of an image that is locked, as part of a larger change.
    pub(super) async fn create_draft_within(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: Image,
        change: RevisionChange,
    ) -> Result<RevisionDetails> {
        let now = self.clock.now();
        let revision = Revision {
            id: self.ids.next(),
            image_id: image.id,
            number: tx.take_revision_number(image.id).await?,
            state: RevisionState::Draft,
            notes: change.notes.unwrap_or_default(),
            labels: change.labels.unwrap_or_default(),
            protected: change.protected.unwrap_or(false),
            version: 1,
            created_by: actor.name.clone(),
            created_at: now,
            updated_at: now,
            sealed_at: None,
        };
        check_notes(&revision)?;
        tx.insert_revision(&revision).await?;
        let details = RevisionDetails { image, revision, files: Vec::new() };
        self.audit(tx, details.entry("revision.create", actor), NOTHING, Some(&details.shown()));
        Ok(details)
    }

    /// Returns a revision that new clients may get, or `RevisionNotReady` for any other.
    pub async fn ready_revision(&self, name: &ImageName, number: i64) -> Result<RevisionDetails> {
        let details = self.revision(name, number).await?;
        match details.revision.state {
            RevisionState::Ready => Ok(details),
            state => Err(Error::RevisionNotReady { number, state }),
        }
    }

    /// Returns the name of a revision's file in the tree, whether it is there or not.
    pub fn file_name(&self, details: &RevisionDetails, role: FileRole) -> String {
        let RevisionDetails { image, revision, .. } = details;
        self.rules().pattern.file_name(&image.name, revision.number, &image.extension, role)
    }

    pub async fn revision(&self, name: &ImageName, number: i64) -> Result<RevisionDetails> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, name).await?;
        details(&mut tx, image, number).await
    }

    /// Returns the revisions below `before`, newest first.
    pub async fn revisions(
        &self,
        name: &ImageName,
        before: i64,
        limit: i64,
    ) -> Result<Vec<RevisionDetails>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, name).await?;
        let mut list = Vec::new();
        for revision in tx.revisions_before(image.id, before, limit).await? {
            let files = tx.files_of(revision.id).await?;
            list.push(RevisionDetails { image: image.clone(), revision, files });
        }
        Ok(list)
    }

    pub async fn change_revision(
        &self,
        actor: &Actor,
        name: &ImageName,
        number: i64,
        change: RevisionChange,
        condition: &Precondition,
    ) -> Result<RevisionDetails> {
        let mut tx = self.db.write().await?;
        let mut details = locked_details(&mut tx, name, number).await?;
        condition.check(Some(&details.revision.tag()))?;
        let is_given_up = details.revision.protected && change.protected == Some(false);
        if is_given_up && !details.may_be_deleted_by(actor) {
            return Err(Error::Forbidden(
                "removing the protection needs the right to delete the revision: ask an admin",
            ));
        }
        let before = details.shown();
        let revision = &mut details.revision;
        if let Some(notes) = change.notes {
            revision.notes = notes;
        }
        if let Some(labels) = change.labels {
            revision.labels = labels;
        }
        revision.protected = change.protected.unwrap_or(revision.protected);
        check_notes(revision)?;
        self.save(&mut tx, revision).await?;
        let entry = details.entry("revision.change", actor);
        self.audit(&mut tx, entry, Some(&before), Some(&details.shown()));
        tx.commit().await?;
        Ok(details)
    }

    /// Seals a complete draft: it becomes `ready`, and from then on its bytes never change.
    pub async fn seal(
        &self,
        context: ChangeContext<'_>,
        name: &ImageName,
        number: i64,
    ) -> Result<RevisionDetails> {
        let ChangeContext { actor, condition, execution } = context;
        let mut tx = self.db.write().await?;
        let mut details = locked_details(&mut tx, name, number).await?;
        condition.check(Some(&details.revision.tag()))?;
        if details.revision.state != RevisionState::Draft {
            return Err(Error::RevisionSealed(number));
        }
        details.must_be_own_draft(actor)?;
        let missing: Vec<_> = details
            .image
            .kind
            .roles()
            .iter()
            .copied()
            .filter(|role| details.file(*role).is_err())
            .collect();
        if !missing.is_empty() {
            return Err(Error::RevisionIncomplete { missing });
        }
        if let Some(empty) = details.files.iter().find(|file| file.size == 0) {
            return Err(Error::EmptyFile(empty.role));
        }
        // Open uploads to it have no target any more.
        let left_behind = tx.delete_open_uploads_of(details.revision.id).await?;
        for blob in &left_behind {
            tx.discard_arriving(*blob, self.clock.now()).await?;
        }
        let before = details.shown();
        details.revision.state = RevisionState::Ready;
        details.revision.sealed_at = Some(self.clock.now());
        self.save(&mut tx, &mut details.revision).await?;
        let entry = details.entry("revision.seal", actor);
        self.audit(&mut tx, entry, Some(&before), Some(&details.shown()));
        if execution.is_dry_run() {
            return Ok(details);
        }
        tx.commit().await?;
        metric::REVISIONS_SEALED.increment(1);
        self.transfer_files_are_due(details.image.id);
        if !left_behind.is_empty() {
            self.sweep_is_due();
        }
        Ok(details)
    }

    /// Creates a new revision with the bytes of an earlier one. It shares the blobs and keeps the date of their
    /// sealing: the published files of both are the same inodes.
    pub(super) async fn reissue(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        image: &Image,
        earlier: &Revision,
    ) -> Result<Revision> {
        let now = self.clock.now();
        let revision = Revision {
            id: self.ids.next(),
            number: tx.take_revision_number(image.id).await?,
            notes: format!("revision {} again", earlier.number),
            protected: false,
            version: 1,
            created_by: actor.name.clone(),
            created_at: now,
            updated_at: now,
            ..earlier.clone()
        };
        tx.insert_revision(&revision).await?;
        for file in tx.files_of(earlier.id).await? {
            let size = i64::try_from(file.size).unwrap_or(i64::MAX);
            tx.insert_file(revision.id, file.role, file.blob_id, size, &file.digest.to_string())
                .await?;
        }
        Ok(revision)
    }

    pub(crate) async fn save(&self, tx: &mut Tx, revision: &mut Revision) -> Result<()> {
        revision.version += 1;
        revision.updated_at = self.clock.now();
        Ok(tx.update_revision(revision).await?)
    }
}

pub(super) async fn details(tx: &mut Tx, image: Image, number: i64) -> Result<RevisionDetails> {
    let revision = tx.revision(image.id, number).await?.ok_or(Error::RevisionNotFound(number))?;
    if revision.state == RevisionState::Deleted {
        return Err(Error::RevisionDeleted(number));
    }
    let files = tx.files_of(revision.id).await?;
    Ok(RevisionDetails { image, revision, files })
}

/// Returns the revision, locked against other changes until the commit.
pub(super) async fn locked_details(
    tx: &mut Tx,
    name: &ImageName,
    number: i64,
) -> Result<RevisionDetails> {
    let image = locked_image(tx, name).await?;
    details(tx, image, number).await
}

fn check_notes(revision: &Revision) -> Result<()> {
    if revision.notes.len() > 100_000 {
        return Err(Error::invalid("notes", "must have at most 100,000 bytes"));
    }
    check_labels(&revision.labels)
}
