//! Events: what people and programs are told of. Each is a row that the transaction of its change writes (an outbox), so
//! there is no event without its change and no change without its event.
//!
//! Most events come from the rows of the audit (`of_change`), and need nothing at the place of the change. The others
//! are told with `tell_readers`. Events have their order from the commit (`storage::queries::events`): a reader that
//! has read up to one place has read all before it, whatever transactions are still under way.

pub mod feed;
pub(crate) mod of_change;
mod reading;
mod retention;

use serde_json::{Value, json};

use super::Catalog;
use crate::model::EventType;
use crate::model::event::{EventPlace, NewEvent};
use crate::storage::Tx;

/// The news of a change.
pub(crate) struct News<'a> {
    pub kind: EventType,
    pub actor: &'a str,
    /// The path of the resource below `/api/v1`.
    pub subject: String,
    pub place: EventPlace,
    /// An object without secrets, and of limited size.
    pub data: Value,
}

/// The number of characters of an error that an event tells.
const LONGEST_ERROR: usize = 500;

/// Returns the data of an event that tells of an error.
pub(crate) fn of_error(error: &impl ToString) -> Value {
    json!({"error": error.to_string().chars().take(LONGEST_ERROR).collect::<String>()})
}

impl Catalog {
    /// Adds an event to the transaction, with which it is committed.
    pub(crate) fn tell_readers(&self, tx: &mut Tx, news: News<'_>) {
        let event = NewEvent {
            kind: news.kind,
            at: self.clock.now(),
            actor: news.actor.to_owned(),
            subject: news.subject,
            place: news.place,
            data: news.data,
        };
        tx.note_event(event, self.ids.next());
    }

    /// Tells of something that is no change of the catalog, in a transaction of its own. A failure is logged: what
    /// happened must not depend on it.
    pub(crate) async fn tell_readers_alone(&self, news: News<'_>) {
        let kind = news.kind.as_str();
        let telling = async {
            let mut tx = self.db.write_to_free().await?;
            self.tell_readers(&mut tx, news);
            tx.commit().await
        };
        if let Err(error) = telling.await {
            tracing::warn!(%error, event = kind, "an event could not be written");
        }
    }
}
