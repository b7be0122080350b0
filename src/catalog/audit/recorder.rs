//! The recorder, which writes the refused log-ins collected by [`refused_logins`](super::refused_logins) to the audit.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::refused_logins::{Batch, EVERY, RefusedLogin, UNKNOWN};
use super::{Entry, NOTHING};
use crate::catalog::{Actor, Catalog, Result};

impl Catalog {
    /// Notes a refused log-in, to be written later.
    pub fn note_refused_login(&self, refused: RefusedLogin, request_id: Option<String>) {
        self.shared.refused_logins.lock().add(refused, request_id);
    }

    /// Writes what was noted, forever.
    pub async fn keep_recording_refused_logins(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let due = self.shared.refused_logins.lock().due(Instant::now());
            self.record_refused_logins(due).await;
        }
    }

    /// Writes everything that was noted, because the server stops.
    pub(in crate::catalog) async fn record_all_refused_logins(&self) {
        let rest = self.shared.refused_logins.lock().rest();
        self.record_refused_logins(rest).await;
    }

    async fn record_refused_logins(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        match self.write_refused_logins(&batch).await {
            Ok(()) => self.shared.refused_logins.lock().written(&batch, Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "refused log-ins could not be written to the audit yet");
            }
        }
    }

    async fn write_refused_logins(&self, batch: &Batch) -> Result<()> {
        let mut tx = self.db.write().await?;
        let mut note = |actor: &Actor, after: &Value| {
            let subject = "logins".to_owned();
            let entry = Entry { action: "login.refuse", subject, actor };
            self.audit(&mut tx, entry, NOTHING, Some(after));
        };
        for (refused, times) in &batch.different {
            note(&refused.actor(times), &refused.what(times));
        }
        if batch.beyond > 0 {
            let after = json!({"reason": "too_many_different_ones", "times": batch.beyond});
            note(&nobody(), &after);
        }
        Ok(tx.commit().await?)
    }
}

fn nobody() -> Actor {
    Actor { name: UNKNOWN.to_owned(), roles: Vec::new(), request_id: None, address: None }
}
