//! Images.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{Image, ImageKind, ImageName, Labels, OfferedImage};
use crate::storage::db::Either;
use crate::storage::{StorageError, Tx};

/// Lists the columns that an [`Image`] is read from.
macro_rules! image_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, kind, extension, description, labels, keep_revisions, version,
            created_by, created_at, updated_at, deleted_at
        )
    };
}
#[cfg(test)]
pub(super) use image_columns;

/// The initial values of a new image.
pub struct ImageRecord<'a> {
    pub id: Uuid,
    pub name: &'a ImageName,
    pub kind: ImageKind,
    pub extension: &'a str,
    pub description: &'a str,
    pub labels: &'a Labels,
    pub keep_revisions: Option<i64>,
    pub created_by: &'a str,
    pub now: DateTime<Utc>,
}

/// The numbers of signed files that may have been given out after a backup: one a second for a hundred days.
const SKIPPED_SIGNINGS: i64 = 10_000_000;

impl Tx {
    /// Returns the number that the next revision gets.
    pub async fn next_revision(&mut self, image: Uuid) -> Result<i64, StorageError> {
        value!(self, "select next_revision from image where id = $1", image)
    }

    /// Skips revision numbers of all images, sequences of all manifests and epochs of all assignments that may have
    /// been given out after a backup: clients may have those revisions, and refuse lower sequences and epochs.
    pub async fn skip_numbers(
        &mut self,
        count: i64,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        if count > 0 {
            execute!(self, "update image set next_revision = next_revision + $1", count)?;
            execute!(
                self,
                "update channel set sequence = sequence + $1, issued_at = $2",
                count,
                now
            )?;
            self.skip_trust_numbers(SKIPPED_SIGNINGS).await?;
        }
        self.skip_epochs(count).await
    }

    /// Sets the number that the next revision gets.
    pub async fn set_next_revision(&mut self, image: Uuid, next: i64) -> Result<(), StorageError> {
        execute!(self, "update image set next_revision = $2 where id = $1", image, next)?;
        Ok(())
    }

    /// Inserts an image. Returns `Duplicate` if the name is taken, even by a deleted image.
    pub async fn insert_image(&mut self, new: &ImageRecord<'_>) -> Result<(), StorageError> {
        insert!(self, "image", {
            id: new.id,
            name: new.name,
            name_key: new.name.key(),
            kind: new.kind,
            extension: new.extension,
            description: new.description,
            labels: Json(new.labels),
            keep_revisions: new.keep_revisions,
            next_revision: 1_i64,
            changed_in: 0_i64,
            version: 1_i64,
            created_by: new.created_by,
            created_at: new.now,
            updated_at: new.now,
        })?;
        Ok(())
    }

    /// Reuses the name of a deleted image; its revision counter continues.
    pub async fn revive_image(
        &mut self,
        id: Uuid,
        new: &ImageRecord<'_>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update image set name = $2, kind = $3, extension = $4, description = $5, labels = $6, \
             keep_revisions = $7, version = version + 1, created_by = $8, created_at = $9, updated_at = $9, \
             deleted_at = null where id = $1",
            id,
            new.name,
            new.kind,
            new.extension,
            new.description,
            Json(new.labels),
            new.keep_revisions,
            new.created_by,
            new.now,
        )?;
        Ok(())
    }

    /// Returns an image by its key, even if it is deleted.
    pub async fn image_by_key(&mut self, name_key: &str) -> Result<Option<Image>, StorageError> {
        optional!(
            self,
            concat!("select ", image_columns!(image), " from image where name_key = $1"),
            name_key
        )
    }

    pub async fn image_by_id(&mut self, id: Uuid) -> Result<Option<Image>, StorageError> {
        optional!(self, concat!("select ", image_columns!(image), " from image where id = $1"), id)
    }

    /// Lists images after `after`, in the order of their names.
    pub async fn images_after(
        &mut self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Image>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                image_columns!(image),
                " from image where deleted_at is null and name_key > $1 collate \"C\" \
                 order by name_key collate \"C\" limit $2"
            ),
            after,
            limit
        )
    }

    /// Lists what the snapshot keeps of all images that are not deleted.
    pub async fn offered_images(&mut self) -> Result<Vec<OfferedImage>, StorageError> {
        all!(self, "select id, name from image where deleted_at is null")
    }

    /// Returns the same for one image; none if it is deleted.
    pub async fn offered_image(&mut self, id: Uuid) -> Result<Option<OfferedImage>, StorageError> {
        optional!(self, "select id, name from image where id = $1 and deleted_at is null", id)
    }

    pub async fn update_image(&mut self, image: &Image) -> Result<(), StorageError> {
        execute!(
            self,
            "update image set description = $2, labels = $3, keep_revisions = $4, version = $5, updated_at = $6, \
             deleted_at = $7 where id = $1",
            image.id,
            &image.description,
            Json(&image.labels),
            image.keep_revisions,
            image.version,
            image.updated_at,
            image.deleted_at,
        )?;
        Ok(())
    }

    /// Returns and takes the image's next revision number. None is given out twice: the row stays locked until the
    /// commit.
    pub async fn take_revision_number(&mut self, image: Uuid) -> Result<i64, StorageError> {
        value!(
            self,
            "update image set next_revision = next_revision + 1 where id = $1 returning next_revision - 1",
            image
        )
    }

    /// Does the same as [`Self::lock_image`] for the image of a revision, and returns that image.
    pub async fn lock_image_of(&mut self, revision: Uuid) -> Result<Uuid, StorageError> {
        let image = value!(self, "select image_id from revision where id = $1", revision)?;
        self.lock_image(image).await?;
        Ok(image)
    }

    /// Locks the image against other changes until the commit. SQLite has only one writer anyway.
    pub async fn lock_image(&mut self, image: Uuid) -> Result<(), StorageError> {
        if let Either::Postgres(tx) = &mut self.on {
            tx.run(sqlx::query("select 1 from image where id = $1 for update").bind(image)).await?;
        }
        Ok(())
    }
}
