//! Backups: the rows of one moment and the bytes that belong to them, taken while servers run.
//!
//! Each file is copied once for all backups in a place and compared with its digest on the way, so damage in the store
//! does not get into a backup, nor vice versa. The bytes are copied first, then the rows of one moment, then the bytes
//! that have come since. The note that says what belongs together is written last. An interrupted backup is therefore
//! not a backup, and the next one continues where it stopped.

mod announced;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use restore::Load;
pub use restore::{RestoreOrder, Restored};

use super::export::{exports, read_export};
use crate::catalog::{Catalog, Result};
use crate::file_system;
use crate::model::{Digest, StoredBlob};
use crate::storage::backup_store::{BackupStore, Notes, Place, note_name};
use crate::storage::blobs::{BlobReader, RunningHash};
use crate::storage::dump::TreeRows;
use crate::storage::{Db, StorageError, Tx};

/// The version of a note's format; raised when older programs would misread it.
const FORMAT: u32 = 1;

/// The number of catalogs saved before a migration that are kept.
const SAVED_ROWS_KEPT: usize = 5;

/// The number of times that the rows are read because bytes were deleted meanwhile.
const ATTEMPTS: u32 = 5;

/// The note of a backup: what belongs to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupNote {
    pub format: u32,
    pub taken_at: DateTime<Utc>,
    /// The catalog of which it is a backup.
    pub identity: Uuid,
    /// The version of the catalog's newest migration.
    pub schema: i64,
    /// The file with the rows.
    pub catalog: SavedFile,
    pub blobs: Vec<SavedFile>,
    /// Set if only the rows were saved: the bytes stay where they are.
    #[serde(default)]
    pub rows_only: bool,
    /// Files whose bytes were damaged or gone in the store, and are not in the backup either.
    pub damaged: Vec<Digest>,
}

/// A file in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SavedFile {
    pub digest: Digest,
    pub size: u64,
}

/// The result of a backup.
#[derive(Debug, Clone)]
pub struct BackedUp {
    /// The name by which `restore` finds it.
    pub name: String,
    pub note: BackupNote,
    /// The blobs that were copied by this backup; the others were there already.
    pub copied_blobs: u64,
    pub copied_bytes: u64,
}

/// The rows of one moment.
struct Rows {
    reader: BlobReader,
    saved: SavedFile,
    blobs: Vec<StoredBlob>,
    identity: Uuid,
}

impl Catalog {
    pub(super) async fn try_to_back_up(
        &self,
        backup_store: &BackupStore,
        scratch: &Path,
    ) -> Result<BackedUp> {
        backup_store.remove_leftovers(self.clock.now()).await;
        let mut copying = Copying { present: backup_store.blobs().await?, ..Copying::default() };
        let stored = self.db.read().await?.stored_blobs().await?;
        self.copy_blobs(backup_store, &stored, &mut copying).await?;
        for _ in 0..ATTEMPTS {
            // Blobs that could not be copied are tried again: they may just have been deleted.
            copying.damaged.clear();
            let rows = self.dump_rows(scratch).await?;
            self.copy_blobs(backup_store, &rows.blobs, &mut copying).await?;
            if self.are_all_there(&copying).await? {
                return self.write_note(backup_store, rows, copying).await;
            }
        }
        let detail = "files are deleted faster than they are copied; try again";
        Err(StorageError::Unavailable(detail.to_owned()).into())
    }

    async fn copy_blobs(
        &self,
        backup_store: &BackupStore,
        blobs: &[StoredBlob],
        copying: &mut Copying,
    ) -> Result<()> {
        for blob in blobs {
            let hex = blob.digest.to_hex();
            if copying.present.get(&hex) == Some(&blob.size)
                || copying.damaged.contains_key(&blob.id)
            {
                continue;
            }
            let copied = match self.blobs.reader(&blob.key, blob.size).await {
                Ok(reader) => backup_store.put_blob(&reader, &blob.digest).await,
                Err(error) => Err(error),
            };
            match copied {
                Ok(()) => {
                    copying.present.insert(hex, blob.size);
                    copying.blobs += 1;
                    copying.bytes += blob.size;
                    tracing::info!(blob.key = blob.key, bytes = blob.size, "copied a blob");
                }
                Err(error) if error.is_about_the_bytes() => {
                    tracing::warn!(%error, blob.key = blob.key, "the blob is missing from the backup");
                    copying.damaged.insert(blob.id, blob.digest);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reports whether the catalog still refers to all blobs that could not be copied: then they are damaged, and not
    /// deleted.
    async fn are_all_there(&self, copying: &Copying) -> Result<bool> {
        let mut tx = self.db.read().await?;
        for (blob, _) in copying.lost() {
            if tx.revisions_with_blob(*blob).await?.is_empty()
                && tx.image_of_transfer_file(*blob).await?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn dump_rows(&self, scratch: &Path) -> Result<Rows> {
        let identity = self.identity().await?;
        let mut tx = self.db.read().await?;
        let (reader, saved) = dump(&mut tx, scratch).await?;
        let blobs = tx.stored_blobs().await?;
        Ok(Rows { reader, saved, blobs, identity })
    }

    async fn write_note(
        &self,
        backup_store: &BackupStore,
        rows: Rows,
        copying: Copying,
    ) -> Result<BackedUp> {
        let taken_at = self.clock.now();
        let name = note_name(taken_at);
        let written = self.write_as(backup_store, &name, taken_at, rows, copying).await;
        if written.is_err() {
            // The rows contain password hashes and keys, and without their note nobody looks for them.
            for part in ["json", "jsonl"] {
                let _first_error_counts = backup_store.remove(&format!("{name}.{part}")).await;
            }
        }
        written
    }

    async fn write_as(
        &self,
        backup_store: &BackupStore,
        name: &str,
        taken_at: DateTime<Utc>,
        rows: Rows,
        copying: Copying,
    ) -> Result<BackedUp> {
        backup_store.put_file(&format!("{name}.jsonl"), &rows.reader, &rows.saved.digest).await?;
        let saved = |blob: &StoredBlob| SavedFile { digest: blob.digest, size: blob.size };
        let blobs: BTreeSet<_> = rows.blobs.iter().map(saved).collect();
        let is_there =
            |file: &SavedFile| copying.present.get(&file.digest.to_hex()) == Some(&file.size);
        let note = BackupNote {
            format: FORMAT,
            taken_at,
            identity: rows.identity,
            schema: self.db.look().await?.schema_version().await?,
            catalog: rows.saved,
            blobs: blobs.into_iter().filter(is_there).collect(),
            rows_only: false,
            damaged: copying.lost().map(|(_, digest)| *digest).collect(),
        };
        put_note(backup_store, name, &note).await?;
        // Another process may have pruned the place meanwhile, and a note must not name files that are not there.
        let there = backup_store.blobs().await?;
        let is_gone = |file: &&SavedFile| there.get(&file.digest.to_hex()) != Some(&file.size);
        if let Some(gone) = note.blobs.iter().find(is_gone) {
            let detail = format!(
                "{} was deleted by another backup in the same place; try again",
                gone.digest
            );
            return Err(StorageError::Unavailable(detail).into());
        }
        self.note_backup(name, &note).await;
        let (copied_blobs, copied_bytes) = (copying.blobs, copying.bytes);
        Ok(BackedUp { name: name.to_owned(), note, copied_blobs, copied_bytes })
    }

    /// Records the backup for the servers. The backup is valid even without the record.
    async fn note_backup(&self, name: &str, note: &BackupNote) {
        let noted = async {
            let mut tx = self.db.write().await?;
            tx.note_backup(name, note.taken_at).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the backup is valid, but could not be recorded in the catalog");
        }
    }
}

/// The progress of copying.
#[derive(Default)]
struct Copying {
    /// The sizes of the files in the place, by digest in hex.
    present: BTreeMap<String, u64>,
    /// The digests of blobs whose bytes cannot be read, by blob id: another blob may have the same bytes, intact.
    damaged: BTreeMap<Uuid, Digest>,
    blobs: u64,
    bytes: u64,
}

impl Copying {
    /// Returns the blobs that are not in the backup.
    fn lost(&self) -> impl Iterator<Item = (&Uuid, &Digest)> {
        self.damaged.iter().filter(|(_, digest)| !self.present.contains_key(&digest.to_hex()))
    }
}

/// Saves the rows of a catalog that is about to be migrated, in its older schema. Returns the name of the saved rows.
///
/// They are for going back to the older program: `restore --rows-only` loads them and leaves the bytes where they are.
pub async fn save_rows(db: &Db, folder: &Path, taken_at: DateTime<Utc>) -> Result<String> {
    let backup_store = BackupStore::open(&Place::Folder(folder.to_owned()), [])?;
    let schema = db.look().await?.schema_version().await?;
    let (reader, catalog) = dump(&mut db.read().await?, folder).await?;
    let name = note_name(taken_at);
    backup_store.put_file(&format!("{name}.jsonl"), &reader, &catalog.digest).await?;
    let (blobs, damaged) = (Vec::new(), Vec::new());
    // An older schema may have no identity yet, and a restore of rows only does not need it.
    let identity = Uuid::nil();
    let note = BackupNote {
        format: FORMAT,
        taken_at,
        identity,
        schema,
        catalog,
        blobs,
        rows_only: true,
        damaged,
    };
    put_note(&backup_store, &name, &note).await?;
    if let Err(error) = prune(&backup_store, SAVED_ROWS_KEPT, &name).await {
        // The server starts all the same.
        tracing::warn!(%error, "older saved catalogs could not be removed");
    }
    Ok(name)
}

async fn put_note(backup_store: &BackupStore, name: &str, note: &BackupNote) -> Result<()> {
    let text = serde_json::to_vec_pretty(note).unwrap_or_default();
    Ok(backup_store.put(Notes::Catalogs, &format!("{name}.json"), Bytes::from(text)).await?)
}

/// Writes all rows to an unnamed file. Returns it with its digest and size.
async fn dump(tx: &mut Tx, scratch: &Path) -> Result<(BlobReader, SavedFile)> {
    let fail = |error| StorageError::file(scratch.display(), error);
    let mut file = dump_to_file(tx, TreeRows::LeftOut, scratch).await?;
    let (mut hash, mut buffer) = (RunningHash::default(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let size = file.metadata().map_err(fail)?.len();
    let saved = SavedFile { digest: hash.finish(), size };
    Ok((BlobReader::local(Arc::new(file), size), saved))
}

/// Writes the rows to an unnamed file, ready to be read from its start.
pub(super) async fn dump_to_file(tx: &mut Tx, tree: TreeRows, scratch: &Path) -> Result<File> {
    let fail = |error| StorageError::file(scratch.display(), error);
    let mut file = file_system::unnamed(scratch).map_err(fail)?;
    let mut output = BufWriter::new(file.try_clone().map_err(fail)?);
    tx.dump(tree, |line| writeln!(output, "{line}").map_err(fail)).await?;
    output.flush().map_err(fail)?;
    file.rewind().map_err(fail)?;
    Ok(file)
}

/// Returns the names of all backups in a place, the oldest first.
pub async fn backups(backup_store: &BackupStore) -> Result<Vec<String>> {
    let names = backup_store.names(Notes::Catalogs).await?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect())
}

pub async fn read_note(backup_store: &BackupStore, name: &str) -> Result<BackupNote> {
    let text = backup_store.get(Notes::Catalogs, &format!("{name}.json")).await?;
    let note: BackupNote = serde_json::from_slice(&text)
        .map_err(|error| StorageError::Damaged(format!("{name}.json: {error}")))?;
    if note.format > FORMAT {
        let detail = format!(
            "the backup {name} was written by a newer program; use that program to read it"
        );
        return Err(StorageError::Unusable(detail).into());
    }
    Ok(note)
}

/// Removes all backups of a catalog but the newest `keep`, and the bytes that only they had. Returns the number of
/// removed backups. The one that was just `made` counts as the newest, whatever the clock says. Backups of other
/// catalogs in the same place stay.
pub async fn prune(backup_store: &BackupStore, keep: usize, made: &str) -> Result<usize> {
    let identity = read_note(backup_store, made).await?.identity;
    let (mut names, mut notes) = (Vec::new(), BTreeMap::new());
    for name in backups(backup_store).await? {
        let note = read_note(backup_store, &name).await?;
        if note.identity == identity && name != made {
            names.push(name.clone());
        }
        notes.insert(name, note);
    }
    names.push(made.to_owned());
    let old = &names[..names.len().saturating_sub(keep.max(1))];
    if old.is_empty() {
        return Ok(0);
    }
    for name in old {
        notes.remove(name);
    }
    let mut needed: BTreeSet<_> =
        notes.values().flat_map(|note| &note.blobs).map(|file| file.digest.to_hex()).collect();
    for name in exports(backup_store).await? {
        let note = read_export(backup_store, &name).await?;
        let files = note.revisions.iter().flat_map(|revision| &revision.files);
        needed.extend(files.map(|file| file.digest.to_hex()));
    }
    // Remove the notes first: the files that a note names must be there as long as the note is.
    for name in old {
        backup_store.remove(&format!("{name}.json")).await?;
        backup_store.remove(&format!("{name}.jsonl")).await?;
    }
    for hex in backup_store.blobs().await?.into_keys().filter(|hex| !needed.contains(hex)) {
        backup_store.remove_blob(&hex).await?;
    }
    Ok(old.len())
}
