//! A backup, and the event of its outcome.

use std::path::Path;

use serde_json::{Value, json};

use super::BackedUp;
use crate::catalog::events::{News, of_error};
use crate::catalog::{Catalog, Result};
use crate::model::EventType;
use crate::model::event::EventPlace;
use crate::storage::backup_store::BackupStore;

impl Catalog {
    /// Takes a backup. `scratch` is a local folder for the temporary file of the rows.
    pub async fn back_up(&self, backup_store: &BackupStore, scratch: &Path) -> Result<BackedUp> {
        let done = self.try_to_back_up(backup_store, scratch).await;
        match &done {
            Ok(done) => self.tell_readers_alone(backup_done(done)).await,
            Err(error) => self.backup_failed(error).await,
        }
        done
    }

    /// Tells that a backup has failed, which it also has if its place cannot be opened.
    pub async fn backup_failed(&self, error: &impl ToString) {
        self.tell_readers_alone(news(EventType::BackupFailed, of_error(error))).await;
    }
}

fn backup_done(done: &BackedUp) -> News<'static> {
    let data = json!({
        "name": done.name, "rows_only": done.note.rows_only,
        "files": done.note.blobs.len(), "damaged": done.note.damaged.len(),
    });
    news(EventType::BackupDone, data)
}

fn news(kind: EventType, data: Value) -> News<'static> {
    let (subject, place) = ("backups".to_owned(), EventPlace::default());
    News { kind, actor: "system:backup", subject, place, data }
}
