//! Transfers the bytes of one file to the server: session, requests, and recovery when a connection breaks.

use std::error::Error;
use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::{Body, Response};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::super::connection::Connection;
use super::super::super::exit_code::Exit;
use super::super::super::retry::{Attempts, Setback};
use super::super::draft::Draft;
use super::super::session::{self, Standing};
use super::super::source::{Source, Unreadable};
use crate::client::error::Failure;
use crate::client::push::resume_state::PushRecord;

/// The factor by which the wait for the answer is longer: after the last byte, the server still has to flush all to
/// disk.
const STALLS_FOR_THE_ANSWER: u32 = 10;

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Course {
    /// The number of bytes read or acknowledged so far; no byte beyond it has been read yet.
    pub furthest: u64,
    /// The number of bytes given to the network, repetitions included.
    bytes_sent: u64,
}

/// One file, its session, and its progress bar.
pub struct Transfer<'a> {
    connection: &'a Connection,
    draft: &'a Draft<'a>,
    memory: &'a PushRecord,
    source: &'a Source,
    course: watch::Sender<Course>,
    bar: &'a ProgressBar,
}

impl<'a> Transfer<'a> {
    pub fn new(
        draft: &'a Draft<'a>,
        memory: &'a PushRecord,
        source: &'a Source,
        bar: &'a ProgressBar,
    ) -> Self {
        let course = watch::Sender::default();
        Self { connection: draft.connection(), draft, memory, source, course, bar }
    }

    pub fn course(&self) -> watch::Receiver<Course> {
        self.course.subscribe()
    }

    /// Sends until the server has the whole file. Returns the number of bytes sent. Progress beyond the furthest point
    /// so far resets the retries.
    pub async fn bring(&self) -> Result<u64, Failure> {
        let mut attempts = Attempts::new(self.connection.transfers);
        let mut furthest = 0;
        loop {
            let outcome = match self.session().await {
                Ok(Some((id, offset))) => {
                    if offset > furthest {
                        furthest = offset;
                        attempts.renew();
                    }
                    self.send_from(&id, offset).await
                }
                Ok(None) => Ok(()),
                Err(setback) => Err(setback),
            };
            let Err(setback) = outcome else {
                self.course.send_modify(|course| course.furthest = self.source.size());
                self.bar.set_position(self.source.size());
                return Ok(self.course.borrow().bytes_sent);
            };
            self.bar.set_message("(connection lost, continuing)");
            attempts.next(setback).await?;
        }
    }

    /// Returns the session and its offset. Creates a session if there is none. Returns `None` if the draft has the
    /// file.
    async fn session(&self) -> Result<Option<(String, u64)>, Setback> {
        let (role, size) = (self.source.role, self.source.size());
        if let Some(id) = self.memory.session(role) {
            match session::look(self.connection, &id, size).await? {
                Standing::Complete => return Ok(None),
                Standing::At(offset) => return Ok(Some((id, offset))),
                Standing::Gone => self.memory.set_session(role, None),
            }
        }
        // The server may have forgotten the session of a file that is complete.
        if self.draft.look().await.map_err(Setback::of_call)?.holds(role, size) {
            return Ok(None);
        }
        let id = session::create(self.draft, role, size).await.map_err(Setback::of_call)?;
        self.memory.set_session(role, Some(id.clone()));
        Ok(Some((id, 0)))
    }

    /// Sends one request with everything that is missing.
    async fn send_from(&self, id: &str, offset: u64) -> Result<(), Setback> {
        self.bar.set_message("");
        self.bar.set_position(offset);
        self.bar.reset_eta();
        self.course.send_modify(|course| course.furthest = course.furthest.max(offset));
        let left = self.source.size() - offset;
        let request = session::append(self.connection, id, offset, left, self.body(offset))
            .map_err(Setback::lasting)?;
        let response = self.unless_stalled(request.send()).await?;
        if session::acknowledges_the_whole(&response) {
            return Ok(());
        }
        Err(session::setback(response).await)
    }

    /// Returns the request's body. Only a few pieces are read ahead.
    fn body(&self, offset: u64) -> Body {
        let mut pieces = self.source.pieces(offset);
        let (course, bar) = (self.course.clone(), self.bar.clone());
        Body::wrap_stream(async_stream::stream! {
            let mut at = offset;
            while let Some(piece) = pieces.recv().await {
                if let Ok(piece) = &piece {
                    let length = piece.len() as u64;
                    at += length;
                    bar.inc(length);
                    course.send_modify(|course| {
                        course.bytes_sent += length;
                        course.furthest = course.furthest.max(at);
                    });
                }
                yield piece;
            }
        })
    }

    /// Waits for the answer. Fails if the network takes no byte for too long.
    async fn unless_stalled(
        &self,
        answer: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Response, Setback> {
        tokio::pin!(answer);
        let mut course = self.course.subscribe();
        loop {
            let everything_is_sent = course.borrow_and_update().furthest == self.source.size();
            let patience =
                self.connection.stall * if everything_is_sent { STALLS_FOR_THE_ANSWER } else { 1 };
            tokio::select! {
                answer = &mut answer => return answer.map_err(|error| self.broken(&error)),
                moved = timeout(patience, course.changed()) => if moved.is_err() {
                    return Err(self.stalled(patience));
                },
            }
        }
    }

    /// Returns the cause of a broken request. A failed read of the file breaks the request too, and is reported then.
    fn broken(&self, error: &reqwest::Error) -> Setback {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(unreadable) = current.downcast_ref::<Unreadable>() {
                return Setback::lasting(self.source.unreadable(unreadable));
            }
            cause = current.source();
        }
        self.connection.broken(error)
    }

    fn stalled(&self, patience: Duration) -> Setback {
        let seconds = patience.as_secs();
        let message = format!("{} accepted no data for {seconds} s", self.connection.server());
        Setback::passing(Failure::new(Exit::Unreachable, message))
    }
}
