//! A backup, and the event of its outcome.

use std::path::Path;

use serde_json::{Value, json};

use super::BackedUp;
use crate::catalog::events::News;
use crate::catalog::{Catalog, Result};
use crate::model::EventType;
use crate::model::event::EventPlace;
use crate::storage::backup_store::BackupStore;

/// The number of characters of an error that an event tells.
const LONGEST_ERROR: usize = 500;

impl Catalog {
    /// Takes a backup. `scratch` is a local folder for the temporary file of the rows.
    pub async fn back_up(&self, backup_store: &BackupStore, scratch: &Path) -> Result<BackedUp> {
        let done = self.try_to_back_up(backup_store, scratch).await;
        let news = match &done {
            Ok(done) => news(
                EventType::BackupDone,
                json!({
                    "name": done.name, "rows_only": done.note.rows_only,
                    "files": done.note.blobs.len(), "damaged": done.note.damaged.len(),
                }),
            ),
            Err(error) => news(
                EventType::BackupFailed,
                json!({
                    "error": error.to_string().chars().take(LONGEST_ERROR).collect::<String>(),
                }),
            ),
        };
        self.tell_readers_alone(news).await;
        done
    }
}

fn news(kind: EventType, data: Value) -> News<'static> {
    let (subject, place) = ("backups".to_owned(), EventPlace::default());
    News { kind, actor: "system:backup", subject, place, data }
}
