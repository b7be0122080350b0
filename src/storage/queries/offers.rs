//! What every channel offers: the rows that the snapshot is made of.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::all;
use crate::model::{Digest, FileRole, ImageName, Promotion};
use crate::storage::{StorageError, Tx};

/// A file of a revision that a channel's folder holds.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OfferedFile {
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub revision: i64,
    pub extension: String,
    pub sealed_at: DateTime<Utc>,
    /// 0 for the assigned revision, 1 for the one before it, and so on.
    pub age: i64,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub blob_key: String,
    #[sqlx(try_from = "i64")]
    pub size: u64,
    #[sqlx(try_from = "String")]
    pub digest: Digest,
}

impl Tx {
    /// Every promotion in force, with its image's name; of one image only, where one is named.
    pub async fn promotions_in_force(&mut self) -> Result<Vec<Promotion>, StorageError> {
        all!(
            self,
            "select p.*, r.number as revision from assignment a join promotion p on p.id = a.promotion_id \
             join revision r on r.id = p.revision_id join channel c on c.id = a.channel_id \
             where c.deleted_at is null"
        )
    }

    /// The files of every assigned revision and of the `keep_old` distinct revisions assigned before
    /// it that are ready and were not rolled back.
    pub async fn offered_files(&mut self) -> Result<Vec<OfferedFile>, StorageError> {
        all!(
            self,
            "with held as ( \
               select p.image_id, p.channel_id, p.revision_id, \
                 max(p.epoch) as epoch, \
                 max(case when a.promotion_id = p.id then 1 else 0 end) as assigned \
               from promotion p \
               join assignment a on a.image_id = p.image_id and a.channel_id = p.channel_id \
               join revision r on r.id = p.revision_id \
               where r.state = 'ready' and (p.rolled_back = false or a.promotion_id = p.id) \
               group by p.image_id, p.channel_id, p.revision_id \
             ), ranked as ( \
               select held.*, row_number() over ( \
                 partition by image_id, channel_id order by assigned desc, epoch desc) - 1 as age \
               from held \
             ) \
             select k.image_id, k.channel_id, k.revision_id, r.number as revision, i.extension, r.sealed_at, \
               k.age, f.role, f.blob_id, b.key as blob_key, f.size, f.digest \
             from ranked k \
             join channel c on c.id = k.channel_id \
             join image i on i.id = k.image_id \
             join revision r on r.id = k.revision_id \
             join file f on f.revision_id = k.revision_id \
             join blob b on b.id = f.blob_id \
             where k.age <= c.keep_old and c.deleted_at is null \
             order by k.image_id, k.channel_id, k.age, f.role"
        )
    }

    /// The numbers of the revoked revisions of every image.
    pub async fn revoked_revisions(&mut self) -> Result<Vec<(Uuid, i64)>, StorageError> {
        all!(self, "select image_id, number from revision where state = 'revoked'")
    }

    pub async fn image_names(&mut self) -> Result<Vec<(Uuid, ImageName)>, StorageError> {
        all!(self, "select id, name from image where deleted_at is null")
    }
}
