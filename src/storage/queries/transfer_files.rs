//! Chunk lists and deltas: which ones there are, and which ones are missing.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, execute, insert, optional, value};
use crate::model::row::from_row;
use crate::model::{Digest, FileRole, TransferFile, TransferState};
use crate::storage::{Scope, StorageError, Tx};

/// A stored file that a transfer file leads to.
#[derive(Debug, Clone)]
pub struct TargetFile {
    pub image_id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
}

from_row!(TargetFile { image_id, revision_id, role, blob_key, size: size, digest });

/// A delta that is missing: the file that it leads to, and the one that it starts from.
#[derive(Debug, Clone)]
pub struct MissingDelta {
    pub target: TargetFile,
    pub base_id: Uuid,
    pub base_key: String,
    pub base_size: u64,
    pub base_digest: Digest,
}

from_row!(MissingDelta { target: flatten, base_id, base_key, base_size: size, base_digest });

/// The conditions for missing transfer files.
#[derive(Debug, Clone, Copy)]
pub struct Missing {
    /// Files with fewer bytes have none.
    pub smallest: i64,
    /// A file whose making failed before this time is missing again.
    pub failed_before: DateTime<Utc>,
}

/// A row about a transfer file.
#[derive(Debug, Clone)]
pub struct NewTransferFile {
    pub id: Uuid,
    pub revision_id: Uuid,
    pub role: FileRole,
    pub base_revision_id: Option<Uuid>,
    pub state: TransferState,
    /// The blob, its size and its digest.
    pub stored: Option<(Uuid, u64, Digest)>,
    pub instead_of: u64,
    pub cpu_milliseconds: i64,
    pub made_at: DateTime<Utc>,
}

/// Runs a query for all images or for one, which is bound last.
macro_rules! scoped {
    ($tx:expr, $scope:expr, $query:ident, $($bind:expr),*) => {
        match $scope {
            Scope::All => all!($tx, $query!(""), $($bind),*),
            Scope::Image(image) => all!($tx, $query!("and t.image_id = $4 "), $($bind,)* image),
        }
    };
}

/// The columns of a [`TargetFile`]: of the revision `t`, its file `f` and the blob `b`.
macro_rules! target_columns {
    () => {
        "t.image_id, t.id as revision_id, f.role, b.key as blob_key, f.size, f.digest"
    };
}

/// The transfer files that are there, of revisions that fulfil the conditions.
macro_rules! made {
    ($($condition:expr),+) => {
        concat!(
            "select x.revision_id, x.role, o.number as base, x.base_revision_id as base_id, x.blob_id, \
             b.key as blob_key, x.size, x.digest from revision t join transfer_file x on x.revision_id = t.id \
             join blob b on b.id = x.blob_id left join revision o on o.id = x.base_revision_id \
             where x.state = 'made' ",
            $($condition,)+
            "order by x.revision_id, x.role, o.number"
        )
    };
}

macro_rules! missing_lists {
    ($of_image:literal) => {
        concat!(
            "select ",
            target_columns!(),
            " from revision t join file f on f.revision_id = t.id join blob b on b.id = f.blob_id \
             where t.state = 'ready' and f.role <> 'index' and f.size >= $1 and $2 = $2 ",
            $of_image,
            "and not exists (select 1 from damage d where d.blob_id = b.id) \
             and not exists (select 1 from transfer_file x where x.revision_id = t.id and x.role = f.role \
             and x.base_revision_id is null and (x.state <> 'failed' or x.made_at > $3)) \
             order by t.sealed_at desc, t.id"
        )
    };
}

/// The pairs of target and base: the newest ready revision with the ready ones before it, and each assigned revision with
/// the one that was assigned before, which clients have also if it was revoked since.
macro_rules! missing_deltas {
    ($of_image:literal) => {
        concat!(
            "select ",
            target_columns!(),
            ", o.id as base_id, c.key as base_key, g.size as base_size, g.digest as base_digest from (\
             select t.id as target, n.id as base from revision t join revision n on n.image_id = t.image_id \
             and n.number < t.number and n.state = 'ready' and n.number > coalesce((select m.number from revision m \
             where m.image_id = t.image_id and m.number < t.number and m.state = 'ready' \
             order by m.number desc limit 1 offset $2), -1) where t.state = 'ready' ",
            $of_image,
            "and not exists (select 1 from revision l where l.image_id = t.image_id and l.number > t.number \
             and l.state = 'ready') \
             union select p.revision_id, q.revision_id from assignment t join promotion p on p.id = t.promotion_id \
             join promotion q on q.image_id = t.image_id and q.channel_id = t.channel_id and q.epoch = \
             (select max(e.epoch) from promotion e where e.image_id = t.image_id and e.channel_id = t.channel_id \
             and e.epoch < p.epoch and e.revision_id <> p.revision_id and e.withdrawal is null) \
             where p.revision_id <> q.revision_id ",
            $of_image,
            ") pair join revision t on t.id = pair.target join revision o on o.id = pair.base \
             join file f on f.revision_id = t.id join blob b on b.id = f.blob_id \
             join file g on g.revision_id = o.id and g.role = f.role join blob c on c.id = g.blob_id \
             where t.state = 'ready' and o.state in ('ready', 'revoked') and f.role <> 'index' and f.size >= $1 \
             and f.digest <> g.digest \
             and not exists (select 1 from damage d where d.blob_id = b.id or d.blob_id = c.id) \
             and not exists (select 1 from transfer_file x where x.revision_id = t.id and x.role = f.role \
             and x.base_revision_id = o.id and (x.state <> 'failed' or x.made_at > $3)) \
             order by t.sealed_at desc, o.number desc"
        )
    };
}

impl Tx {
    /// Lists the transfer files of an image that are there.
    pub async fn transfer_files(&mut self, image: Uuid) -> Result<Vec<TransferFile>, StorageError> {
        all!(self, made!("and t.image_id = $1 "), image)
    }

    /// Lists those of revisions that were ever promoted or pinned: others are shown nowhere.
    pub async fn transfer_files_to_show(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<TransferFile>, StorageError> {
        macro_rules! shown {
            ($of_image:literal) => {
                made!(
                    $of_image,
                    "and (exists (select 1 from promotion p where p.revision_id = t.id) \
                     or exists (select 1 from pin n where n.revision_id = t.id)) "
                )
            };
        }
        match scope {
            Scope::All => all!(self, shown!("")),
            Scope::Image(image) => all!(self, shown!("and t.image_id = $1 "), image),
        }
    }

    /// Reports whether the last attempt to make a file's chunk list has failed.
    pub async fn has_chunk_list_failed(
        &mut self,
        revision: Uuid,
        role: FileRole,
    ) -> Result<bool, StorageError> {
        let failed: i64 = value!(
            self,
            "select count(*) from transfer_file where revision_id = $1 and role = $2 and base_revision_id is null \
             and state = 'failed'",
            revision,
            role
        )?;
        Ok(failed > 0)
    }

    /// Lists the files without a chunk list, those that were sealed last first.
    pub async fn files_without_chunk_list(
        &mut self,
        scope: Scope,
        missing: Missing,
    ) -> Result<Vec<TargetFile>, StorageError> {
        scoped!(self, scope, missing_lists, missing.smallest, 0_i64, missing.failed_before)
    }

    /// Lists the deltas that are missing: from the last `from` revisions to the newest one of each image, and from what
    /// was assigned before to what is assigned.
    pub async fn missing_deltas(
        &mut self,
        scope: Scope,
        missing: Missing,
        from: i64,
    ) -> Result<Vec<MissingDelta>, StorageError> {
        scoped!(self, scope, missing_deltas, missing.smallest, from, missing.failed_before)
    }

    /// Reports whether the target is ready and this transfer file is not made or found useless yet.
    pub async fn is_transfer_file_missing(
        &mut self,
        target: Uuid,
        role: FileRole,
        base: Option<Uuid>,
    ) -> Result<bool, StorageError> {
        let found: i64 = value!(
            self,
            "select count(*) from revision t where t.id = $1 and t.state = 'ready' and not exists \
             (select 1 from transfer_file x where x.revision_id = t.id and x.role = $2 and x.state <> 'failed' \
             and (x.base_revision_id = $3 or (x.base_revision_id is null and $3 is null)))",
            target,
            role,
            base
        )?;
        Ok(found > 0)
    }

    /// Lists the channels that bases of deltas were ever assigned in, each with the base.
    pub async fn places_of_bases(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<(Uuid, Uuid)>, StorageError> {
        macro_rules! places {
            ($of_image:literal) => {
                concat!(
                    "select distinct p.channel_id, p.revision_id from revision t \
                     join transfer_file x on x.revision_id = t.id \
                     join promotion p on p.revision_id = x.base_revision_id where x.state = 'made' ",
                    $of_image
                )
            };
        }
        match scope {
            Scope::All => all!(self, places!("")),
            Scope::Image(image) => all!(self, places!("and t.image_id = $1"), image),
        }
    }

    /// Returns the image of the transfer file that has this blob; none if the blob is not one of a transfer file.
    pub async fn image_of_transfer_file(
        &mut self,
        blob: Uuid,
    ) -> Result<Option<Uuid>, StorageError> {
        let image: Option<(Uuid,)> = optional!(
            self,
            "select t.image_id from transfer_file x join revision t on t.id = x.revision_id where x.blob_id = $1",
            blob
        )?;
        Ok(image.map(|(image,)| image))
    }

    /// Inserts the row, in place of one about an attempt that failed, and reports whether there was no other.
    pub async fn insert_transfer_file(
        &mut self,
        new: &NewTransferFile,
    ) -> Result<bool, StorageError> {
        execute!(
            self,
            "delete from transfer_file where revision_id = $1 and role = $2 and state = 'failed' \
             and (base_revision_id = $3 or (base_revision_id is null and $3 is null))",
            new.revision_id,
            new.role,
            new.base_revision_id
        )?;
        let (blob, size, digest) = match new.stored {
            Some((blob, size, digest)) => (Some(blob), size, Some(digest.to_string())),
            None => (None, 0, None),
        };
        let inserted = insert!(self, "transfer_file", {
            id: new.id,
            revision_id: new.revision_id,
            role: new.role,
            base_revision_id: new.base_revision_id,
            state: new.state,
            blob_id: blob,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            digest: digest,
            instead_of: i64::try_from(new.instead_of).unwrap_or(i64::MAX),
            cpu_milliseconds: new.cpu_milliseconds,
            made_at: new.made_at,
        }, " on conflict do nothing")?;
        Ok(inserted == 1)
    }

    /// Deletes the rows about a revision's transfer files, and returns their blobs.
    pub async fn delete_transfer_files_of(
        &mut self,
        revision: Uuid,
    ) -> Result<Vec<Uuid>, StorageError> {
        let blobs: Vec<(Uuid,)> = all!(
            self,
            "select blob_id from transfer_file where revision_id = $1 and blob_id is not null",
            revision
        )?;
        execute!(self, "delete from transfer_file where revision_id = $1", revision)?;
        Ok(blobs.into_iter().map(|(blob,)| blob).collect())
    }

    /// Deletes the row about a transfer file with this blob, and reports whether there was one.
    pub async fn delete_transfer_file(&mut self, blob: Uuid) -> Result<bool, StorageError> {
        Ok(execute!(self, "delete from transfer_file where blob_id = $1", blob)? > 0)
    }

    /// Lists the revisions that were deleted, or revoked, by a server that knows no transfer files.
    pub async fn ended_revisions_with_transfer_files(
        &mut self,
    ) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(
            self,
            "select distinct x.revision_id from transfer_file x join revision t on t.id = x.revision_id \
             where t.state in ('deleted', 'revoked')"
        )
    }
}
