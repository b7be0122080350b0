//! The recorder, which writes the refused log-ins collected by [`refused_logins`](super::refused_logins) to the audit.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::refused_logins::{Batch, EVERY, Gathered, RefusedLogin, UNKNOWN};
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
            self.record_refused_logins(|gathered| gathered.due(Instant::now())).await;
        }
    }

    /// Writes everything that was noted, because the server stops.
    pub(in crate::catalog) async fn record_all_refused_logins(&self) {
        self.record_refused_logins(|gathered| gathered.rest()).await;
    }

    /// Writes what is chosen, in a task of its own: a stop that cuts the caller off between the commit and the note of it
    /// would have the same rows written again.
    async fn record_refused_logins(&self, choose: fn(&mut Gathered) -> Batch) {
        let catalog = self.clone();
        let writing = self.runtime.spawn(async move {
            let refused_logins = &catalog.shared.refused_logins;
            let _alone = refused_logins.writing.lock().await;
            let batch = choose(&mut refused_logins.lock());
            if batch.is_empty() {
                return;
            }
            match catalog.write_refused_logins(&batch).await {
                Ok(()) => refused_logins.lock().written(&batch, Instant::now()),
                Err(error) => {
                    tracing::warn!(%error, "refused log-ins could not be written to the audit yet");
                }
            }
        });
        // A panic is in the log.
        let _ended = writing.await;
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
