//! Rescue: a file that is damaged in the store may be intact in the tree, if that has a copy and not a hard link.

use futures_util::StreamExt as _;

use crate::catalog::upload::Announcement;
use crate::catalog::{Actor, Catalog, Error, Precondition, Result};
use crate::model::{DamagedFile, StoredBlob, UploadProtocol};
use crate::storage::StorageError;
use crate::storage::backup_store::BackupStore;
use crate::storage::blobs::BlobReader;

impl Catalog {
    /// Returns the paths of a blob's copies in the tree.
    pub(super) async fn copies_of(&self, blob: &StoredBlob) -> Result<Vec<String>> {
        let paths = self.db.read().await?.publications_of(blob.id).await?;
        let mut copies = Vec::new();
        for (path,) in paths {
            if self.tree.is_copy(&path, &blob.key, &self.blobs).await? {
                copies.push(path);
            }
        }
        Ok(copies)
    }

    /// Heals a blob by the first intact copy. It is not an error if there is none: then an administrator has to act.
    pub(super) async fn rescue(&self, blob: &StoredBlob) -> Result<()> {
        let damaged = self.db.read().await?.damaged_files().await?;
        let Some(file) = damaged.into_iter().find(|file| file.blob_id == blob.id) else {
            return Ok(());
        };
        let mut is_decided = true;
        for path in self.copies_of(blob).await? {
            let healed = match self.tree.reader(&path, blob.size).await {
                Ok(reader) => self.heal_from(&Actor::system("scrub"), &file, &reader).await,
                Err(error) => Err(error.into()),
            };
            match healed {
                Ok(()) => {
                    tracing::info!(
                        tree.path = path,
                        "a damaged file was healed from its copy in the tree"
                    );
                    return Ok(());
                }
                Err(error) => {
                    is_decided &= is_about_the_copy(&error);
                    tracing::warn!(%error, tree.path = path, "a damaged file could not be healed from this copy");
                }
            }
        }
        if !is_decided {
            // It may be the only intact copy. It stays until the next reading of the damaged blob has read it.
            return Ok(());
        }
        let mut tx = self.db.write_to_free().await?;
        tx.end_rescue(blob.id).await?;
        tx.commit().await?;
        self.tree_is_due();
        Ok(())
    }

    /// Heals all files of which a place of backups has intact bytes. The others stay as they are.
    pub async fn heal_from_backup(&self, actor: &Actor, backup_store: &BackupStore) -> Result<()> {
        for file in self.db.read().await?.damaged_files().await? {
            if !self.db.read().await?.is_damaged(file.blob_id).await? {
                // Healed together with another file that has the same bytes.
                continue;
            }
            let reader = backup_store.reader(&file.digest, file.size);
            let healed = match reader {
                Ok(reader) => self.heal_from(actor, &file, &reader).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = healed {
                let (image, revision) = (&file.image, file.revision);
                tracing::warn!(%error, %image, revision, "a damaged file could not be healed from the backup");
            }
        }
        Ok(())
    }

    /// Uploads a damaged file's bytes again from another source. They are compared with the file's digest.
    pub async fn heal_from(
        &self,
        actor: &Actor,
        file: &DamagedFile,
        reader: &BlobReader,
    ) -> Result<()> {
        let announced = Announcement {
            image: file.image.clone(),
            revision: file.revision,
            role: file.role,
            size: Some(file.size),
            digest: Some(file.digest),
            metadata: None,
            condition: Precondition::None,
            protocol: UploadProtocol::Put,
        };
        let mut incoming = self.receive(actor, announced).await?;
        let mut bytes = reader.stream(0..reader.size());
        while let Some(some) = bytes.next().await {
            let written = match some {
                Ok(some) => incoming.write(some).await,
                Err(source) => {
                    let what = "the copy".to_owned();
                    Err(Error::Storage(StorageError::File { what, source }))
                }
            };
            if let Err(error) = written {
                incoming.abandon().await;
                return Err(error);
            }
        }
        incoming.finish(actor).await.map(drop)
    }
}

/// Reports whether the copy was read and is wrong. Any other error may be temporary.
fn is_about_the_copy(error: &Error) -> bool {
    match error {
        Error::DigestMismatch { .. } | Error::Truncated { .. } | Error::OtherBytes { .. } => true,
        Error::Storage(storage) => storage.is_about_the_bytes(),
        _ => false,
    }
}
