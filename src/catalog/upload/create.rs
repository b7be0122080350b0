//! The start of an upload: everything that can be refused is refused before the first byte.

use uuid::Uuid;

use super::{Announcement, as_stored};
use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::healing::is_to_be_healed;
use crate::catalog::revision::{RevisionDetails, locked_details};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{File, FileRole, ImageKind, RevisionState, Upload, UploadProtocol, metric};
use crate::storage::blobs::RunningHash;
use crate::storage::{Holder, StorageError, Tx, UploadRecord};

/// The limit for open sessions of one caller by one protocol: enough for any work, and a bound on what a broken script
/// leaves behind.
const MOST_OPEN: i64 = 1000;

impl Catalog {
    /// Reserves disk space for a file of a draft and creates the session that fills it.
    pub async fn create_upload(&self, actor: &Actor, announced: Announcement) -> Result<Upload> {
        let upload = self.open_upload(actor, self.ids.next(), &announced, None).await?;
        metric::UPLOADS_BEGUN.increment(1);
        Ok(upload)
    }

    /// Does the same as [`Self::create_upload`], under an id that the caller has recorded beforehand. If it is repeated
    /// after a crash, it finds the session that it created.
    pub(in crate::catalog) async fn create_upload_as(
        &self,
        actor: &Actor,
        id: Uuid,
        announced: Announcement,
    ) -> Result<Upload> {
        match self.upload(actor, id).await {
            Err(Error::UploadNotFound) => {}
            found => return found,
        }
        let opened = self.open_upload(actor, id, &announced, None).await;
        // Another request was faster.
        if matches!(opened, Err(Error::Storage(StorageError::Duplicate))) {
            return self.upload(actor, id).await;
        }
        if opened.is_ok() {
            metric::UPLOADS_BEGUN.increment(1);
        }
        opened
    }

    /// Does the same as [`Self::create_upload`]; the session is held by `holder` from the start.
    pub(super) async fn open_upload(
        &self,
        actor: &Actor,
        id: Uuid,
        announced: &Announcement,
        holder: Option<&Holder<'_>>,
    ) -> Result<Upload> {
        let reserved = self.first_reservation(announced.size)?;
        self.check_mounted()?;
        let mut tx = self.db.write().await?;
        let details = locked_details(&mut tx, &announced.image, announced.revision).await?;
        check_target(&mut tx, actor, &details, announced).await?;
        tx.lock_reservations().await?;
        self.check_count(&mut tx, actor, announced.protocol).await?;
        let target = (details.image.id, details.revision.id, announced.role);
        self.check_reservation(&mut tx, actor, target, reserved).await?;
        let (blob, now) = (self.ids.next(), self.clock.now());
        let (key, reserved) = (self.ids.blob_key(), as_stored(reserved)?);
        tx.insert_arriving_blob(blob, &key, reserved, self.instance, now).await?;
        let new = UploadRecord {
            id,
            revision_id: details.revision.id,
            role: announced.role,
            blob_id: blob,
            protocol: announced.protocol,
            digest: announced.digest.map(|digest| digest.to_string()),
            open_ended: announced.size.is_none(),
            metadata: announced.metadata.as_deref(),
            condition: announced.condition.to_stored(),
            hash_state: &RunningHash::default().save(),
            created_by: &actor.name,
            now,
        };
        tx.insert_upload(&new, holder).await?;
        if announced.protocol != UploadProtocol::Put {
            let subject = format!("uploads/{id}");
            let target =
                (&details.image.name, details.revision.number, announced.role, announced.size);
            let entry = Entry { action: "upload.create", subject, actor };
            self.audit(&mut tx, entry, NOTHING, Some(&target));
        }
        let upload = tx.upload(id).await?.ok_or(Error::UploadNotFound)?;
        tx.commit().await?;
        Ok(upload)
    }

    async fn check_count(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        protocol: UploadProtocol,
    ) -> Result<()> {
        let open = tx.count_open_uploads(&actor.name, protocol).await?;
        if open >= MOST_OPEN {
            return Err(Error::TooManyUploads { open, limit: MOST_OPEN });
        }
        Ok(())
    }
}

/// Checks that the revision may get this file: it is a draft, or is to be healed by the same bytes.
async fn check_target(
    tx: &mut Tx,
    actor: &Actor,
    details: &RevisionDetails,
    announced: &Announcement,
) -> Result<()> {
    let present = details.file(announced.role).ok();
    if details.revision.state == RevisionState::Draft {
        details.must_be_own_draft(actor)?;
    } else if is_to_be_healed(tx, &details.revision, present).await? {
        check_same_bytes(present, announced)?;
    } else {
        return Err(Error::RevisionSealed(announced.revision));
    }
    check_role(details.image.kind, announced.role)?;
    announced.condition.check(present.map(File::tag).as_deref())
}

/// Checks the digest and size, as far as they are known before the first byte.
fn check_same_bytes(present: Option<&File>, announced: &Announcement) -> Result<()> {
    let Some(present) = present else { return Ok(()) };
    let is_other = announced.digest.is_some_and(|digest| digest != present.digest);
    if is_other || announced.size.is_some_and(|size| size != present.size) {
        return Err(Error::OtherBytes { revision: announced.revision, digest: present.digest });
    }
    Ok(())
}

fn check_role(kind: ImageKind, role: FileRole) -> Result<()> {
    if kind.roles().contains(&role) {
        return Ok(());
    }
    let kind = match kind {
        ImageKind::Medv => "medv",
        ImageKind::Single => "single",
    };
    Err(Error::RoleUnknown { kind, role })
}
