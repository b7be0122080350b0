//! The offers of every channel: the rows that the snapshot and the tree are made of.
//!
//! Each query is for all images, as a server reads them once at its start, and for one, as every change needs it: with
//! a long history, all images take most of a second.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::promotions::{epoch_before, promotion_columns};
use super::publications::goes_at_once;
use super::statement::{all, columns};
use crate::model::row::from_row;
use crate::model::{Digest, FileRole, ImageName, Promotion};
use crate::storage::{StorageError, Tx};

/// A file of a revision that some client of a channel may be offered, or that the channel's folder keeps.
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
    /// True if the channel's folder holds the file. It does not while a rollout is under way that the folder waits for,
    /// nor because of a pin alone.
    pub in_folder: bool,
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
    in_folder,
});

/// A revision that a single client was given.
#[derive(Debug, Clone)]
pub struct PinnedRevision {
    pub image_id: Uuid,
    pub channel_id: Uuid,
    pub revision_id: Uuid,
    pub revision: i64,
    pub client_key: String,
}

from_row!(PinnedRevision { image_id, channel_id, revision_id, revision, client_key });

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
    pub role: FileRole,
}

from_row!(LingeringFile {
    path,
    channel_id,
    image_id,
    image,
    role,
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

/// Runs a query for all images or for one; `$filter` is the condition for one. A query with two parts has one in each.
macro_rules! scoped {
    ($tx:expr, $scope:expr, $before:expr, $filter:literal, $after:literal) => {
        match $scope {
            Scope::All => all!($tx, concat!($before, $after)),
            Scope::Image(image) => all!($tx, concat!($before, $filter, $after), image),
        }
    };
    ($tx:expr, $scope:expr, $first:expr, $filter:literal, $second:expr, $other:literal, $after:literal) => {
        match $scope {
            Scope::All => all!($tx, concat!($first, $second, $after)),
            Scope::Image(image) => {
                all!($tx, concat!($first, $filter, $second, $other, $after), image)
            }
        }
    };
}

/// The condition that a pin holds: it does not where the image was withdrawn with all its files at once.
macro_rules! pin_holds {
    () => {
        "not exists (select 1 from promotion w where w.image_id = n.image_id and w.channel_id = n.channel_id \
         and w.withdrawal = 'at_once' and w.epoch = (select max(l.epoch) from promotion l \
         where l.image_id = n.image_id and l.channel_id = n.channel_id))"
    };
}

impl Tx {
    /// Lists the assignment before each one in force.
    pub async fn promotions_before_those_in_force(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<Promotion>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select ",
                promotion_columns!(p),
                ", r.number as revision from assignment a join promotion o on o.id = a.promotion_id \
             join promotion p on p.image_id = a.image_id and p.channel_id = a.channel_id \
             join revision r on r.id = p.revision_id join channel c on c.id = a.channel_id \
             where c.deleted_at is null and p.epoch = ",
                epoch_before!("o")
            ),
            " and a.image_id = $1",
            ""
        )
    }

    /// Lists the pins that hold: their revisions are ready.
    pub async fn pinned_revisions(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<PinnedRevision>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select n.image_id, n.channel_id, n.revision_id, r.number as revision, n.client_key \
             from pin n join revision r on r.id = n.revision_id join channel c on c.id = n.channel_id \
             where r.state = 'ready' and c.deleted_at is null and ",
                pin_holds!()
            ),
            " and n.image_id = $1",
            ""
        )
    }

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

    /// Lists the files that some client may be offered, and those that a folder keeps: of every assigned revision, of the
    /// `keep_old` distinct revisions assigned before it that are ready and were not rolled back, and of pinned ones. An
    /// assigned revision in quarantine keeps its place and offers nothing. Promotions that were replaced while they were
    /// under way keep nothing; the folder waits for one that is under way, unless the channel says otherwise.
    pub async fn offered_files(&mut self, scope: Scope) -> Result<Vec<OfferedFile>, StorageError> {
        scoped!(
            self,
            scope,
            "with held as ( \
               select p.image_id, p.channel_id, p.revision_id, \
                 max(case when p.under_way = false or c.tree_during_rollout then p.epoch end) as epoch, \
                 max(case when a.promotion_id = p.id then 1 else 0 end) as assigned, \
                 max(case when a.promotion_id = p.id and (p.under_way = false or c.tree_during_rollout) \
                   then 1 else 0 end) as first, \
                 max(case when p.under_way = false or c.tree_during_rollout then 1 else 0 end) as in_folder, \
                 max(case when p.under_way and c.tree_during_rollout then 1 else 0 end) as beside \
               from promotion p \
               join assignment a on a.image_id = p.image_id and a.channel_id = p.channel_id \
               join channel c on c.id = p.channel_id \
               join revision r on r.id = p.revision_id \
               where (r.state = 'ready' or (r.state = 'quarantined' and a.promotion_id = p.id)) \
                 and (a.promotion_id = p.id or (p.rolled_back = false and p.under_way = false))",
            " and p.image_id = $1",
            concat!(
                "  group by p.image_id, p.channel_id, p.revision_id \
             ), ranked as ( \
               select image_id, channel_id, revision_id, assigned, in_folder, row_number() over ( \
                 partition by image_id, channel_id order by in_folder desc, first desc, epoch desc) - 1 as age, \
                 max(beside) over (partition by image_id, channel_id) as beside \
               from held \
             ), wanted as ( \
               select k.image_id, k.channel_id, k.revision_id, k.in_folder from ranked k \
               join channel c on c.id = k.channel_id \
               where k.assigned = 1 or (k.in_folder = 1 and k.age <= c.keep_old + k.beside) \
               union all \
               select n.image_id, n.channel_id, n.revision_id, 0 as in_folder from pin n where ",
                pin_holds!()
            ),
            " and n.image_id = $1",
            " ), kept as ( \
               select image_id, channel_id, revision_id, max(in_folder) as in_folder from wanted \
               group by image_id, channel_id, revision_id \
             ) \
             select k.image_id, k.channel_id, k.revision_id, r.number as revision, i.extension, r.sealed_at, \
               f.role, f.blob_id, b.key as blob_key, f.size, f.digest, k.in_folder = 1 as in_folder \
             from kept k \
             join channel c on c.id = k.channel_id \
             join image i on i.id = k.image_id \
             join revision r on r.id = k.revision_id \
             join file f on f.revision_id = k.revision_id \
             join blob b on b.id = f.blob_id \
             where r.state = 'ready' and c.deleted_at is null \
             order by k.image_id, k.channel_id, r.number, f.role"
        )
    }

    /// Lists the files in the tree. Files that are damaged or were found to be bad are left out.
    pub async fn lingering_files(
        &mut self,
        scope: Scope,
    ) -> Result<Vec<LingeringFile>, StorageError> {
        scoped!(
            self,
            scope,
            concat!(
                "select p.path, p.channel_id, i.id as image_id, i.name as image, b.key as blob_key, b.size, \
             p.digest, r.sealed_at, p.role \
             from publication p join blob b on b.id = p.blob_id join revision r on r.id = p.revision_id \
             join image i on i.id = r.image_id \
             where p.state <> 'removing' and r.sealed_at is not null and not ",
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
