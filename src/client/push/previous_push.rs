//! What an earlier push of the same files left: gone on with, or cleared away.

use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::draft::Draft;
use super::resume_state::{Memory, Record};
use super::session;
use super::source::Source;
use crate::client::error::Failure;

/// The draft to go on with, if there is one and `restart` does not want it gone.
pub async fn take_up<'a>(
    connection: &'a Connection,
    image: &'a str,
    sources: &[Source],
    memory: &Memory,
    restart: bool,
    progress: &Progress,
) -> Result<Option<Draft<'a>>, Failure> {
    let Some(record) = memory.record() else { return Ok(None) };
    let draft = Draft::numbered(connection, image, record.revision);
    let Some(reason) = reason_to_begin_anew(&record, &draft, sources, restart).await? else {
        progress.note(&format!("going on with revision {} of {image}", record.revision));
        return Ok(Some(draft));
    };
    progress.note(&format!("beginning anew: {reason}"));
    // What cannot be taken away now the server removes in time.
    let _ = clear_away(connection, &draft, memory).await;
    Ok(None)
}

/// A revision that is sealed already is gone on with too: the earlier push ended between the sealing and
/// forgetting it.
async fn reason_to_begin_anew(
    record: &Record,
    draft: &Draft<'_>,
    sources: &[Source],
    restart: bool,
) -> Result<Option<String>, Failure> {
    if restart {
        return Ok(Some("as --restart says".to_owned()));
    }
    if let Some(source) = record.changed(sources) {
        let path = source.path.display();
        return Ok(Some(format!("{path} has changed since the earlier push")));
    }
    match draft.look().await {
        Ok(revision) if revision.is_draft() || revision.is_sealed() => Ok(None),
        Err(failure) if failure.exit() != Exit::NotFound => Err(failure),
        _ => Ok(Some(format!("revision {} is no draft any more", record.revision))),
    }
}

/// Cancels the sessions, deletes the draft, forgets both. Fails when the draft is left.
pub async fn clear_away(
    connection: &Connection,
    draft: &Draft<'_>,
    memory: &Memory,
) -> Result<(), Failure> {
    for id in memory.record().iter().flat_map(Record::sessions) {
        // One that is complete or gone cannot be cancelled, and need not be.
        let _ = session::cancel(connection, id).await;
    }
    memory.forget();
    draft.delete().await
}
