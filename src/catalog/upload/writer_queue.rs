//! The queue of writers within one process: a new request asks the previous one to stop, and waits until that has saved
//! what it has.
//!
//! This only makes the hand-over quick and the offset exact. The row decides who may write ([`lease`](super::lease)),
//! also among several servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use uuid::Uuid;

use crate::catalog::{Error, Result};
use crate::model::Upload;
use crate::storage::blobs::{Appender, WriteLease};

/// The time for which a request waits for the previous writer, which has a batch to write and a sync to wait for. One
/// that takes longer waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of sessions on the list at which ended ones are removed.
const CLEAR_AT: usize = 64;

/// The sessions that requests in this process work on, or wait for.
#[derive(Default)]
pub(in crate::catalog) struct Turns(Mutex<HashMap<Uuid, Weak<Line>>>);

/// The queue of requests for one session.
pub(super) struct Line {
    /// The number of the newest request.
    newest: watch::Sender<u64>,
    front: Arc<tokio::sync::Mutex<()>>,
    /// The state that the previous writer has left open.
    resting: Mutex<Option<Box<Resting>>>,
}

/// The state that a writer leaves for the next one.
pub(super) struct Resting {
    pub(super) upload: Upload,
    pub(super) claim: i64,
    pub(super) lease: WriteLease,
    pub(super) appender: Appender,
}

/// The right of one request to work on a session, until it is dropped.
pub(super) struct Turn {
    number: u64,
    newest: watch::Receiver<u64>,
    /// Kept so that later requests find the same queue.
    line: Arc<Line>,
    /// The state that was left open. The request that has the turn ends it, whether it continues from there or not.
    rested: Option<Box<Resting>>,
    _front: OwnedMutexGuard<()>,
}

impl Turns {
    /// Asks the current writer of the session to stop, and waits for it. Returns `UploadTakenOver` if a newer request
    /// has arrived meanwhile, and `UploadBusy` if the older one does not end.
    pub(super) async fn take(&self, id: Uuid) -> Result<Turn> {
        let line = self.line(id);
        let mut number = 0;
        line.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let waiting = Arc::clone(&line.front).lock_owned();
        let front = tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| Error::UploadBusy)?;
        let newest = line.newest.subscribe();
        if *newest.borrow() != number {
            return Err(Error::UploadTakenOver);
        }
        Ok(Turn::new(number, newest, line, front))
    }

    /// Takes the turn like [`Self::take`], but only if no request works on the session or waits for it.
    pub(super) fn take_if_free(&self, id: Uuid) -> Option<Turn> {
        let line = self.line(id);
        let front = Arc::clone(&line.front).try_lock_owned().ok()?;
        let newest = line.newest.subscribe();
        let number = *newest.borrow();
        Some(Turn::new(number, newest, line, front))
    }

    fn line(&self, id: Uuid) -> Arc<Line> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&id).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= CLEAR_AT {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Line {
            newest: watch::Sender::new(0),
            front: Arc::default(),
            resting: Mutex::default(),
        });
        lines.insert(id, Arc::downgrade(&line));
        line
    }
}

impl Turn {
    fn new(
        number: u64,
        newest: watch::Receiver<u64>,
        line: Arc<Line>,
        front: OwnedMutexGuard<()>,
    ) -> Self {
        let rested = line.resting.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self { number, newest, line, rested, _front: front }
    }

    /// Returns the state that the previous writer has left open, once.
    pub(super) fn rested(&mut self) -> Option<Resting> {
        self.rested.take().map(|resting| *resting)
    }

    /// Reports whether a newer request wants the session.
    pub(super) fn is_wanted(&self) -> bool {
        *self.newest.borrow() > self.number
    }

    /// Ends the turn and leaves the session open for the next one, as long as the returned queue is kept.
    pub(super) fn rest(self, resting: Resting) -> Arc<Line> {
        let line = Arc::clone(&self.line);
        *line.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(resting));
        line
    }

    /// Waits until a newer request wants the session.
    pub(super) async fn is_over(&mut self) {
        let number = self.number;
        // The sender is in the queue, which this turn keeps.
        let _newer = self.newest.wait_for(|newest| *newest > number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_of_several_gets_the_next_turn() {
        let (turns, id) = (Arc::new(Turns::default()), Uuid::from_u128(1));
        let mut first = turns.take(id).await.unwrap();
        let waiting = |turns: &Arc<Turns>| {
            let turns = Arc::clone(turns);
            tokio::spawn(async move { turns.take(id).await.map(drop) })
        };
        let second = waiting(&turns);
        first.is_over().await;
        let third = waiting(&turns);
        tokio::task::yield_now().await;
        drop(first);
        assert!(matches!(second.await.unwrap(), Err(Error::UploadTakenOver)));
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn sessions_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let _one = turns.take(Uuid::from_u128(1)).await.unwrap();
        turns.take(Uuid::from_u128(2)).await.unwrap();
        assert!(turns.take_if_free(Uuid::from_u128(1)).is_none());
    }

    #[tokio::test]
    async fn sessions_that_ended_are_forgotten() {
        let turns = Turns::default();
        for number in 0..1000 {
            drop(turns.take(Uuid::from_u128(number)).await.unwrap());
        }
        assert!(turns.0.lock().unwrap().len() <= CLEAR_AT);
    }
}
