//! Restoring: a backup becomes a catalog, a store and, by the next server's reconciliation, a tree.
//!
//! The targets must be empty: nothing is overwritten. Bytes come first, then all rows at once. An interrupted restore
//! is started again and finds its bytes there. A file that is missing or damaged in the backup is in quarantine
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::Path;

use futures_util::StreamExt as _;
use serde_json::Value;
use uuid::Uuid;

use super::{BackupNote, SavedFile, read_note};
use crate::catalog::{Catalog, Result};
use crate::file_system;
use crate::model::Digest;
use crate::storage::StorageError;
use crate::storage::backup_store::BackupStore;
use crate::storage::blobs::verify::{ReadPace, Verdict};
use crate::storage::blobs::{Listing, RunningHash};
use crate::storage::dump::{self, Loader};

/// The result of a restore.
#[derive(Debug, Clone)]
pub struct Restored {
    pub name: String,
    pub note: BackupNote,
    pub rows: u64,
    pub blobs: u64,
    pub bytes: u64,
    /// Files in quarantine, because the backup has no intact bytes of them.
    pub lost: Vec<Digest>,
}

/// The options of a restore.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOrder {
    /// Restores the rows only; the bytes are those in the store.
    pub rows_only: bool,
    /// The number of revision numbers to skip: clients may have revisions that were made after the backup.
    pub numbers_left_out: i64,
}

/// A blob in the rows of a backup.
struct SavedBlob {
    id: Uuid,
    key: String,
    file: SavedFile,
}

impl Catalog {
    /// Restores the backup of this name into a catalog and a store that are empty.
    ///
    /// With `rows_only`, the bytes are those in the store, which may be in use: nothing is copied, and files that were
    /// lost since the backup are in quarantine.
    pub async fn restore(
        &self,
        backup_store: &BackupStore,
        name: &str,
        order: RestoreOrder,
        scratch: &Path,
    ) -> Result<Restored> {
        let note = read_note(backup_store, name).await?;
        if note.rows_only && !order.rows_only {
            return Err(unusable(format!(
                "{name} has rows only: use --rows-only, which keeps the store's bytes"
            )));
        }
        self.must_know(&note).await?;
        self.must_have_no_rows().await?;
        self.must_have_empty_tree().await?;
        let rows = fetch_rows(backup_store, name, &note, scratch).await?;
        let blobs = saved_blobs(&rows)?;
        let there = self.blobs.list().await?;
        if order.rows_only {
            return self.restore_rows(name, note, order, (&rows, &blobs, &there)).await;
        }
        let keys: BTreeSet<_> = blobs.iter().map(|blob| &blob.key).collect();
        if let Some(stranger) = there.keys().find(|key| !keys.contains(key)) {
            return Err(unusable(format!("the store is not empty: it contains {stranger}")));
        }
        // Set the owner first: if the process is killed in between, no server starts a new catalog with this store.
        self.blobs.set_owner(note.identity).await?;
        let (mut bytes, mut lost) = (0, Vec::new());
        for blob in &blobs {
            let is_there =
                there.get(&blob.key).is_some_and(|stored| stored.size == Some(blob.file.size));
            if self.bring_back(backup_store, blob, is_there).await? {
                bytes += blob.file.size;
            } else {
                lost.push((blob.id, blob.file.digest));
            }
        }
        let load = Load { numbers_left_out: order.numbers_left_out, were_bytes_read: true };
        let count = self.load_rows(&rows, &lost, load).await?;
        let lost = lost.into_iter().map(|(_, digest)| digest).collect();
        Ok(Restored {
            name: name.to_owned(),
            note,
            rows: count,
            blobs: blobs.len() as u64,
            bytes,
            lost,
        })
    }

    async fn restore_rows(
        &self,
        name: &str,
        note: BackupNote,
        order: RestoreOrder,
        (rows, blobs, there): (&std::fs::File, &[SavedBlob], &Listing),
    ) -> Result<Restored> {
        let is_there = |blob: &&SavedBlob| {
            there.get(&blob.key).is_some_and(|stored| stored.size == Some(blob.file.size))
        };
        let (_, lost): (Vec<_>, Vec<_>) = blobs.iter().partition(is_there);
        let lost: Vec<_> = lost.iter().map(|blob| (blob.id, blob.file.digest)).collect();
        let load = Load { numbers_left_out: order.numbers_left_out, were_bytes_read: false };
        let count = self.load_rows(rows, &lost, load).await?;
        let lost = lost.into_iter().map(|(_, digest)| digest).collect();
        let (name, blobs) = (name.to_owned(), blobs.len() as u64);
        Ok(Restored { name, note, rows: count, blobs, bytes: 0, lost })
    }

    async fn must_know(&self, note: &BackupNote) -> Result<()> {
        let (theirs, ours) = (note.schema, self.db.look().await?.schema_version().await?);
        if theirs <= ours {
            return Ok(());
        }
        Err(unusable(format!(
            "the backup has schema {theirs}, but this program knows only schemas up to {ours}: use the newer program"
        )))
    }

    /// Fails if rows would be overwritten.
    pub(in crate::upkeep) async fn must_have_no_rows(&self) -> Result<()> {
        if self.db.read().await?.is_blank().await? { Ok(()) } else { Err(not_empty()) }
    }

    /// Fails if the tree has files, because they would be mixed up with others.
    pub(in crate::upkeep) async fn must_have_empty_tree(&self) -> Result<()> {
        let mut folders = self.tree.folders().await?;
        folders.push(String::new());
        for folder in folders {
            if let Some(file) = self.tree.list(&folder).await?.keys().next() {
                return Err(unusable(format!(
                    "the tree is not empty (it contains {file}), and its files could be mixed up with others: use an empty folder or another prefix"
                )));
            }
        }
        Ok(())
    }

    /// Puts a blob's bytes into the store. Reports whether the store has them now, with the right digest.
    async fn bring_back(
        &self,
        backup_store: &BackupStore,
        blob: &SavedBlob,
        is_there: bool,
    ) -> Result<bool> {
        let SavedBlob { key, file: SavedFile { digest, size }, .. } = blob;
        if is_there {
            let verdict = self.blobs.examine(key, *size, digest, &mut ReadPace::new(None)).await?;
            if verdict == Verdict::Intact {
                return Ok(true);
            }
        }
        self.check_free_space(&mut self.db.read().await?, *size).await?;
        let reader = backup_store.reader(digest, *size)?;
        match self.blobs.put_whole(key, &reader, digest).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_about_the_bytes() => {
                tracing::error!(%error, %digest, "the backup has no intact bytes of this file");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Loads all rows at once into an empty catalog.
    pub(in crate::upkeep) async fn load_rows(
        &self,
        rows: &std::fs::File,
        lost: &[(Uuid, Digest)],
        load: Load,
    ) -> Result<u64> {
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        // Check again: copying takes long, and a server may have been started meanwhile.
        if !tx.is_blank().await? {
            return Err(not_empty());
        }
        tx.clear_for_load().await?;
        let (mut loader, mut count) = (Loader::default(), 0);
        for line in lines(rows)? {
            tx.load(&mut loader, &line?).await?;
            count += 1;
        }
        if load.were_bytes_read {
            // Files that were damaged at the time of the backup and could be restored are intact now.
            for file in tx.damaged_files().await? {
                if !lost.iter().any(|(blob, _)| *blob == file.blob_id) {
                    tx.delete_damage(file.blob_id).await?;
                }
            }
        }
        for (blob, _) in lost {
            if tx.delete_transfer_file(*blob).await? {
                // It is made again.
                tx.discard_blob(*blob, now, now).await?;
                continue;
            }
            tx.insert_damage(
                *blob,
                "its bytes were missing or damaged when the catalog was restored or moved",
                None,
                now,
            )
            .await?;
        }
        tx.settle_quarantine(now).await?;
        tx.skip_numbers(load.numbers_left_out, now).await?;
        // The rows may have been dumped while the catalog was being moved.
        tx.set_frozen(None).await?;
        tx.commit().await?;
        Ok(count)
    }
}

/// The options for loading rows.
#[derive(Debug, Clone, Copy)]
pub(in crate::upkeep) struct Load {
    pub(in crate::upkeep) numbers_left_out: i64,
    /// Set if all bytes were compared with their digests on the way.
    pub(in crate::upkeep) were_bytes_read: bool,
}

fn not_empty() -> crate::catalog::Error {
    unusable(
        "the catalog is not empty, and rows are never overwritten: choose another catalog with --data or --config".to_owned(),
    )
}

/// Copies the rows into an unnamed file and compares them with their digest.
async fn fetch_rows(
    backup_store: &BackupStore,
    name: &str,
    note: &BackupNote,
    scratch: &Path,
) -> Result<std::fs::File> {
    let fail = |error| StorageError::file(scratch.display(), error);
    let mut file = file_system::unnamed(scratch).map_err(fail)?;
    let reader = backup_store.catalog_reader(&format!("{name}.jsonl"), note.catalog.size)?;
    let (mut hash, mut stream) = (RunningHash::default(), reader.stream(0..reader.size()));
    while let Some(bytes) = stream.next().await {
        let bytes =
            bytes.map_err(|error| StorageError::Damaged(format!("{name}.jsonl: {error}")))?;
        hash.update(&bytes);
        file.write_all(&bytes).map_err(fail)?;
    }
    if hash.finish() != note.catalog.digest {
        return Err(StorageError::Damaged(format!("{name}.jsonl has another digest")).into());
    }
    Ok(file)
}

fn lines(rows: &std::fs::File) -> Result<impl Iterator<Item = Result<Value>>> {
    let unreadable =
        |error: &dyn std::fmt::Display| StorageError::Damaged(format!("rows: {error}"));
    let mut file = rows.try_clone().map_err(|error| unreadable(&error))?;
    file.rewind().map_err(|error| unreadable(&error))?;
    let lines = BufReader::new(file).lines();
    Ok(lines.map(move |line| {
        let line = line.map_err(|error| unreadable(&error))?;
        Ok(serde_json::from_str(&line).map_err(|error| unreadable(&error))?)
    }))
}

fn saved_blobs(rows: &std::fs::File) -> Result<Vec<SavedBlob>> {
    let (mut blobs, mut digests) = (Vec::new(), BTreeMap::new());
    for line in lines(rows)? {
        let line = line?;
        // Check every row before any of them is used: keys and paths come from these rows.
        dump::must_be_ours(&line)?;
        let row = &line["row"];
        match line["table"].as_str() {
            Some("blob") => blobs.push((
                id(row, "blob.id")?,
                text(row, "blob.key")?.to_owned(),
                number(row, "blob.size")?,
            )),
            // A transfer file that was not made has no bytes.
            Some("transfer_file") if row["blob_id"].is_null() => {}
            Some("file" | "transfer_file") => {
                let digest = text(row, "file.digest")?;
                let digest: Digest = digest.parse().map_err(|_| broken("file.digest"))?;
                digests.insert(id(row, "file.blob_id")?, digest);
            }
            _ => {}
        }
    }
    let known = blobs.into_iter().map(|(id, key, size)| {
        let digest = *digests.get(&id).ok_or_else(|| broken("a blob without a file"))?;
        Ok(SavedBlob { id, key, file: SavedFile { digest, size } })
    });
    known.collect()
}

/// Reads a text from a row. `place` is the table and the column, for the error message.
fn text<'a>(row: &'a Value, place: &str) -> Result<&'a str> {
    Ok(column(row, place).as_str().ok_or_else(|| broken(place))?)
}

fn number(row: &Value, place: &str) -> Result<u64> {
    Ok(column(row, place).as_u64().ok_or_else(|| broken(place))?)
}

fn id(row: &Value, place: &str) -> Result<Uuid> {
    Ok(text(row, place)?.parse().map_err(|_| broken(place))?)
}

fn column<'a>(row: &'a Value, place: &str) -> &'a Value {
    &row[place.rsplit('.').next().unwrap_or(place)]
}

fn broken(what: &str) -> StorageError {
    StorageError::Damaged(format!("a row of the backup cannot be read: {what}"))
}

fn unusable(detail: String) -> crate::catalog::Error {
    StorageError::Unusable(detail).into()
}
