//! The body of a request on its way into an upload.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;

use crate::api::conventions::expectation;
use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::Error;
use crate::catalog::upload::Appending;
use crate::model::Upload;

/// The longest pause in a body. Any connection that still works is silent for less; beyond that, a request only blocks
/// a session.
const SILENCE: Duration = Duration::from_mins(5);

/// The fate of the bytes that arrived before a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBreak {
    /// They are kept, and the client continues from the offset.
    Kept,
    /// They are dropped, and the client sends the whole file again.
    Dropped,
}

impl OnBreak {
    const fn advice(self) -> &'static str {
        match self {
            Self::Kept => "the bytes that arrived were kept: ask for the offset and continue there",
            Self::Dropped => "nothing was kept: send the file again",
        }
    }
}

/// The number of bytes that are read before an upload is open: as many as arrive in the milliseconds that opening
/// takes.
const READ_AHEAD: usize = 1024 * 1024;

/// A body whose first bytes are read while its upload is being opened. A BITS client sends a fragment of 13 MB in 16
/// ms; waiting for the catalog would take another tenth of that.
pub struct Body {
    payload: Payload,
    early: VecDeque<Result<Bytes, PayloadError>>,
    early_bytes: usize,
    ended: bool,
    /// True if the client holds back the body until it is asked for it. That happens only once it is known that the
    /// body is wanted.
    waits: bool,
}

impl Body {
    pub fn new(request: &HttpRequest, payload: Payload) -> Self {
        let waits = expectation::is_pending(request);
        Self { payload, early: VecDeque::new(), early_bytes: 0, ended: false, waits }
    }

    /// Reads ahead until `opening` is done.
    pub async fn while_opening<T>(&mut self, opening: impl Future<Output = T>) -> T {
        let mut opening = pin!(opening);
        loop {
            let has_room = self.early_bytes < READ_AHEAD && !self.ended && !self.waits;
            tokio::select! {
                biased;
                opened = &mut opening => return opened,
                chunk = self.payload.next(), if has_room => self.keep(chunk),
            }
        }
    }

    fn keep(&mut self, chunk: Option<Result<Bytes, PayloadError>>) {
        let Some(chunk) = chunk else {
            self.ended = true;
            return;
        };
        self.ended |= chunk.is_err();
        self.early_bytes += chunk.as_ref().map_or(0, Bytes::len);
        self.early.push_back(chunk);
    }

    /// Returns the next bytes, or none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, PayloadError>> {
        match self.early.pop_front() {
            Some(early) => Some(early),
            None if self.ended => None,
            None => self.payload.next().await,
        }
    }
}

/// Reads a body into an upload, except for its first `skip` bytes, and acknowledges them. However the body ends, the
/// bytes that arrived are saved. If it ends early, the reason is returned as the problem.
pub async fn take_in(
    mut appending: Appending,
    mut body: Body,
    skip: u64,
) -> Result<Upload, Problem> {
    let ended = read_into(&mut appending, &mut body, skip).await;
    let ended = match ended {
        Err(problem) if problem.code() == Code::BeyondEnd => {
            appending.refuse_all().await?;
            return Err(problem);
        }
        ended => ended,
    };
    let saved = appending.save().await;
    match (ended, saved) {
        // No newer request has ended this one: the upload was deleted.
        (Err(_), Err(gone @ (Error::UploadLost | Error::UploadNotFound))) => Err(gone.into()),
        (ended, saved) => {
            ended?;
            Ok(saved?)
        }
    }
}

async fn read_into(
    appending: &mut Appending,
    body: &mut Body,
    mut skip: u64,
) -> Result<(), Problem> {
    loop {
        let chunk = tokio::select! {
            biased;
            () = appending.superseded() => return Err(Error::UploadTakenOver.into()),
            chunk = next_chunk(body, OnBreak::Kept) => chunk?,
        };
        let Some(mut bytes) = chunk else { return Ok(()) };
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
        skip -= skipped as u64;
        appending.write(bytes.split_off(skipped)).await?;
    }
}

/// Returns the next bytes of a body, or none at its end.
pub async fn next_chunk(body: &mut Body, on_break: OnBreak) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => {
            tracing::debug!(%error, "an upload was interrupted");
            let detail = format!("the upload was interrupted; {}", on_break.advice());
            Err(Problem::new(Code::BodyTruncated, detail))
        }
        Err(_) => {
            let detail = format!("no bytes arrived for five minutes; {}", on_break.advice());
            Err(Problem::new(Code::BodyTooSlow, detail))
        }
    }
}
