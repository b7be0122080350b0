//! Continues or deletes what an earlier push of the same files left.

use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::draft::Draft;
use super::resume_state::{PushRecord, Record};
use super::session;
use super::source::Source;
use crate::client::error::Failure;

/// The treatment of what an earlier push left unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUnfinished {
    GoOn,
    BeginAnew,
}

/// An earlier push that may have left something.
pub struct PreviousPush<'a> {
    pub connection: &'a Connection,
    pub image: &'a str,
    pub memory: &'a PushRecord,
    pub progress: &'a Progress,
}

impl<'a> PreviousPush<'a> {
    /// Returns the draft to continue with, if there is one and it is wanted.
    pub async fn take_up(
        &self,
        sources: &[Source],
        if_unfinished: IfUnfinished,
    ) -> Result<Option<Draft<'a>>, Failure> {
        let Self { connection, image, memory, progress } = *self;
        let Some(record) = memory.record() else { return Ok(None) };
        let draft = Draft::numbered(connection, image, record.revision);
        let reason = reason_to_begin_anew(&record, &draft, sources, if_unfinished).await?;
        let Some(reason) = reason else {
            progress.note(&format!("continuing with revision {} of {image}", record.revision));
            return Ok(Some(draft));
        };
        progress.note(&format!("starting again: {reason}"));
        // If this fails, the server removes the draft in time.
        let _ = clear_away(connection, &draft, memory).await;
        Ok(None)
    }
}

/// Returns why the earlier push cannot be continued, or none if it can. A revision that is sealed already is continued
/// too: the earlier push ended between sealing it and forgetting it.
async fn reason_to_begin_anew(
    record: &Record,
    draft: &Draft<'_>,
    sources: &[Source],
    if_unfinished: IfUnfinished,
) -> Result<Option<String>, Failure> {
    if if_unfinished == IfUnfinished::BeginAnew {
        return Ok(Some("--restart is set".to_owned()));
    }
    if let Some(source) = record.changed(sources) {
        let path = source.path.display();
        return Ok(Some(format!("{path} has changed since the earlier push")));
    }
    match draft.look().await {
        Ok(revision) if revision.is_draft() || revision.is_sealed() => Ok(None),
        Err(failure) if failure.exit() != Exit::NotFound => Err(failure),
        _ => Ok(Some(format!("revision {} is no longer a draft", record.revision))),
    }
}

/// Cancels the sessions, deletes the draft and forgets both. Fails if the draft could not be deleted.
pub async fn clear_away(
    connection: &Connection,
    draft: &Draft<'_>,
    memory: &PushRecord,
) -> Result<(), Failure> {
    for id in memory.record().iter().flat_map(Record::sessions) {
        // A session that is complete or gone cannot be cancelled, and need not be.
        let _ = session::cancel(connection, id).await;
    }
    memory.forget();
    draft.delete().await
}
