//! The offers of every channel: the rows that the snapshot and the tree are made of.
//!
//! Each query is for all images, as a server reads them once at its start, and for one, as every change needs it: with
//! a long history, all images take most of a second.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::promotions::promotion_columns;
use super::publications::goes_at_once;
use super::statement::{all, columns};
use crate::model::row::from_row;
use crate::model::{Digest, FileRole, ImageName, Promotion};
use crate::storage::{StorageError, Tx};

/// A file of a revision that a channel's folder holds.
#[derive(Debug, Clone)]
pub struct OfferedFile {
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub revision: i64,
    pub extension: String,
    pub sealed_at: DateTime<Utc>,
    pub role: FileRole,
    pub blob_id: Uuid,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
}

from_row!(OfferedFile {
    image_id,
    channel_id,
    revision_id,
    revision,
    extension,
    sealed_at,
    role,
    blob_id,
    blob_key,
    size: size,
    digest,
});

/// A file in the tree, offered or about to be removed: clients that are fetching it may finish.
#[derive(Debug, Clone)]
pub struct LingeringFile {
    pub path: String,
    pub channel_id: Uuid,
    pub image_id: Uuid,
    pub image: ImageName,
    pub blob_key: String,
    pub size: u64,
    pub digest: Digest,
    pub sealed_at: DateTime<Utc>,
}

from_row!(LingeringFile {
    path,
    channel_id,
    image_id,
    image,
    blob_key,
    size: size,
    digest,
    sealed_at,
});

/// A file that a channel's folder may have held, and whose revision was revoked.
#[derive(Debug, Clone)]
pub struct RevokedFile {
    pub channel_id: Uuid,
    pub image_id: Uuid,
    pub revision: i64,
    pub extension: String,
    pub role: FileRole,
}

from_row!(RevokedFile { channel_id, image_id, revision, extension, role });

/// The images that a query is about.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    All,
    Image(Uuid),
}

/// Runs a query for all images or for one; `$filter` is the condition for one.
macro_rules! scoped {
    ($tx:expr, $scope:expr, $before:expr, $filter:literal, $after:literal) => {
        match $scope {
            Scope::All => all!($tx, concat!($before, $after)),
            Scope::Image(image) => all!($tx, concat!($before, $filter, $after), image),
        }
    };
}

impl Tx {
    /// Lists every promotion in force.
    pub async fn promotions_in_force(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<Promotion>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision from assignment a join promotion p on p.id = a.promotion_id \
             join revision r on r.id = p.revision_id join channel c on c.id = a.channel_id \
             where c.deleted_at is null"
            ),
            " and a.image_id = $1",
            ""
        )
    }

    /// Lists every withdrawal after which nothing was promoted.
    pub async fn withdrawals_in_force(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<Promotion>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision from promotion p join revision r on r.id = p.revision_id \
             join channel c on c.id = p.channel_id \
             where p.withdrawal is not null and c.deleted_at is null and p.epoch = (select max(n.epoch) \
             from promotion n where n.image_id = p.image_id and n.channel_id = p.channel_id)"
            ),
            " and p.image_id = $1",
            ""
        )
    }

    /// Lists the files of every assigned revision and of the `keep_old` distinct revisions assigned before it that are
    /// ready and were not rolled back. An assigned revision in quarantine keeps its place and offers nothing.
    pub async fn offered_files(&mut self, scope: Scope) -> Result<Vec<OfferedFile>, StorageError> {
        scoped!(
            self,
            scope,
            "with held as ( \
               select p.image_id, p.channel_id, p.revision_id, \
                 max(p.epoch) as epoch, \
                 max(case when a.promotion_id = p.id then 1 else 0 end) as assigned \
               from promotion p \
               join assignment a on a.image_id = p.image_id and a.channel_id = p.channel_id \
               join revision r on r.id = p.revision_id \
               where (r.state = 'ready' or (r.state = 'quarantined' and a.promotion_id = p.id)) \
                 and (p.rolled_back = false or a.promotion_id = p.id)",
            " and p.image_id = $1",
            "  group by p.image_id, p.channel_id, p.revision_id \
             ), ranked as ( \
               select image_id, channel_id, revision_id, epoch, assigned, row_number() over ( \
                 partition by image_id, channel_id order by assigned desc, epoch desc) - 1 as age \
               from held \
             ) \
             select k.image_id, k.channel_id, k.revision_id, r.number as revision, i.extension, r.sealed_at, \
               f.role, f.blob_id, b.key as blob_key, f.size, f.digest \
             from ranked k \
             join channel c on c.id = k.channel_id \
             join image i on i.id = k.image_id \
             join revision r on r.id = k.revision_id \
             join file f on f.revision_id = k.revision_id \
             join blob b on b.id = f.blob_id \
             where k.age <= c.keep_old and r.state = 'ready' and c.deleted_at is null \
             order by k.image_id, k.channel_id, k.age, f.role"
        )
    }

    /// Lists the files in the tree without index files, which are removed at once so that no client begins to fetch.
    /// Files that are damaged or were found to be bad are left out, too.
    pub async fn lingering_files(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<LingeringFile>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select p.path, p.channel_id, i.id as image_id, i.name as image, b.key as blob_key, b.size, \
             p.digest, r.sealed_at \
             from publication p join blob b on b.id = p.blob_id join revision r on r.id = p.revision_id \
             join image i on i.id = r.image_id \
             where p.role <> 'index' and p.state <> 'removing' and r.sealed_at is not null and not ",
                goes_at_once!(),
                " and not exists (select 1 from damage d where d.blob_id = p.blob_id)"
            ),
            " and r.image_id = $1",
            ""
        )
    }

    /// Lists the files of revoked revisions, in the channels that they were ever promoted to.
    pub async fn revoked_files(&mut self, scope: Scope) -> Result<Vec<RevokedFile>, StorageError> {
        scoped!(
            self,
            scope,
            "select distinct p.channel_id, r.image_id, r.number as revision, i.extension, f.role \
             from revision r join promotion p on p.revision_id = r.id join image i on i.id = r.image_id \
             join file f on f.revision_id = r.id where r.state = 'revoked'",
            " and r.image_id = $1",
            ""
        )
    }

    /// Lists the numbers of the revoked revisions, with their images.
    pub async fn revoked_revisions(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<(Uuid, i64)>, StorageError> {
        scoped!(
            self,
            scope,
            "select image_id, number from revision where state = 'revoked'",
            " and image_id = $1",
            ""
        )
    }
}
