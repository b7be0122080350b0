//! The files that imagedepot has put into the tree.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::event::EventPlace;
use crate::model::row::from_row;
use crate::model::{Publication, PublicationState};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Publication`] is read from.
macro_rules! publication_columns {
    ($name:ident) => {
        columns!($name: path, channel_id, revision_id, role, blob_id, digest, state, withdraw_at)
    };
}
#[cfg(test)]
pub(super) use publication_columns;

/// Builds the condition that the publication `p` of the revision `r` has to leave the tree without grace: the revision
/// was found to be bad or deleted, or it was withdrawn at once and not promoted to the channel again.
macro_rules! goes_at_once {
    () => {
        "(r.state in ('quarantined', 'revoked', 'deleted') or exists (select 1 from promotion w \
         where w.revision_id = p.revision_id and w.channel_id = p.channel_id and w.withdrawal = 'at_once' \
         and w.epoch = (select max(n.epoch) from promotion n \
         where n.revision_id = w.revision_id and n.channel_id = w.channel_id)))"
    };
}
pub(super) use goes_at_once;

/// A publication, with the properties that its file must have.
#[derive(Debug, Clone)]
pub struct KnownFile {
    pub publication: Publication,
    pub blob_key: String,
    pub size: u64,
    pub sealed_at: DateTime<Utc>,
    pub image_id: Uuid,
    /// The number of the revision.
    pub revision: i64,
    /// The bucket's tag of the published bytes; none in a folder, and while they are being copied.
    pub tag: Option<String>,
    /// Set if the file is removed without grace: its blob is damaged, or `goes_at_once!` applies.
    pub goes_at_once: bool,
    /// The time until which a damaged file stays in place, so that the repair can read it.
    pub rescue_until: Option<DateTime<Utc>>,
}

from_row!(KnownFile {
    publication: flatten,
    blob_key,
    size: size,
    sealed_at,
    image_id,
    revision,
    tag,
    goes_at_once,
    rescue_until,
});

/// A publication, as it is listed.
#[derive(Debug, Clone)]
pub struct ListedPublication {
    pub publication: Publication,
    /// The bytes that a client saves that uses it; none if it is not a chunk list or a delta.
    pub saves: Option<i64>,
}

from_row!(ListedPublication { publication: flatten, saves });

impl Tx {
    /// Returns the image, the channel and the revision that a published file belongs to.
    pub async fn place_of_publication(
        &mut self,
        publication: &Publication,
    ) -> Result<Option<EventPlace>, StorageError> {
        optional!(
            self,
            "select i.name as image, c.name as channel, r.number as revision from revision r \
             join image i on i.id = r.image_id join channel c on c.id = $2 where r.id = $1",
            publication.revision_id,
            publication.channel_id
        )
    }

    /// Lists everything that imagedepot has put into the tree, in the order of the paths.
    pub async fn known_files(&mut self) -> Result<Vec<KnownFile>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                publication_columns!(p),
                ", b.key as blob_key, b.size, r.sealed_at, r.image_id, r.number as revision, o.tag, ",
                goes_at_once!(),
                " or d.blob_id is not null as goes_at_once, d.rescue_until from publication p \
             join blob b on b.id = p.blob_id join revision r on r.id = p.revision_id \
             left join published_object o on o.path = p.path left join damage d on d.blob_id = p.blob_id \
             order by p.path collate \"C\""
            )
        )
    }

    /// Lists the paths at which a blob is published.
    pub async fn publications_of(&mut self, blob: Uuid) -> Result<Vec<(String,)>, StorageError> {
        all!(
            self,
            "select path from publication where blob_id = $1 order by path collate \"C\"",
            blob
        )
    }

    /// Lists publications after `after`, in the order of the paths.
    pub async fn publications_after(
        &mut self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ListedPublication>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                publication_columns!(p),
                ", case when x.base_revision_id is null then null else x.instead_of - x.size end as saves from publication p \
                 left join transfer_file x on x.blob_id = p.blob_id \
                 where p.path > $1 collate \"C\" order by p.path collate \"C\" limit $2"
            ),
            after,
            limit
        )
    }

    /// Lists the documents that imagedepot wrote into channels' folders. The table is named after the first kind of
    /// them.
    pub async fn known_documents(&mut self) -> Result<Vec<(String,)>, StorageError> {
        all!(self, "select path from manifest")
    }

    /// Records that the document at `path`, which is about to be written, belongs to imagedepot.
    pub async fn put_document(&mut self, path: &str) -> Result<(), StorageError> {
        execute!(
            self,
            "insert into manifest (path) values ($1) on conflict (path) do nothing",
            path
        )?;
        Ok(())
    }

    pub async fn delete_document(&mut self, path: &str) -> Result<(), StorageError> {
        execute!(self, "delete from manifest where path = $1", path)?;
        Ok(())
    }

    /// Inserts the row, or updates it.
    pub async fn put_publication(&mut self, publication: &Publication) -> Result<(), StorageError> {
        insert!(self, "publication", {
            path: &publication.path,
            channel_id: publication.channel_id,
            revision_id: publication.revision_id,
            role: publication.role,
            blob_id: publication.blob_id,
            digest: publication.digest.to_string(),
            state: publication.state,
            withdraw_at: publication.withdraw_at,
        },
            " on conflict (path) do update set \
             channel_id = excluded.channel_id, revision_id = excluded.revision_id, role = excluded.role, \
             blob_id = excluded.blob_id, digest = excluded.digest, state = excluded.state, \
             withdraw_at = excluded.withdraw_at"
        )?;
        Ok(())
    }

    /// Takes everything that a channel's folder holds of an image off HTTP; the next reconciliation removes the files.
    pub async fn begin_removal(
        &mut self,
        image: Uuid,
        channel: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update publication set state = $3, withdraw_at = $4 where channel_id = $2 \
             and revision_id in (select id from revision where image_id = $1)",
            image,
            channel,
            PublicationState::Removing,
            now
        )?;
        Ok(())
    }

    /// Records the tag that identifies a published object; none while it is being copied, and in a folder.
    pub async fn put_publication_tag(
        &mut self,
        path: &str,
        tag: Option<&str>,
    ) -> Result<(), StorageError> {
        execute!(self, "delete from published_object where path = $1", path)?;
        if let Some(tag) = tag {
            let insert = "insert into published_object (path, tag) values ($1, $2)";
            execute!(self, insert, path, tag)?;
        }
        Ok(())
    }

    pub async fn delete_publication(&mut self, path: &str) -> Result<(), StorageError> {
        execute!(self, "delete from published_object where path = $1", path)?;
        execute!(self, "delete from publication where path = $1", path)?;
        Ok(())
    }

    /// Counts a revision's files, without transfer files, that are published in a channel's folder.
    pub async fn count_published(
        &mut self,
        channel: Uuid,
        revision: Uuid,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from publication p where p.channel_id = $1 and p.revision_id = $2 and p.state = $3 \
             and not exists (select 1 from transfer_file x where x.blob_id = p.blob_id)",
            channel,
            revision,
            PublicationState::Published
        )
    }
}
