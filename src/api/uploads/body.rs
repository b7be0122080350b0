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

/// Longer than any line that still works keeps silent: what lasts longer only holds a session.
const SILENCE: Duration = Duration::from_mins(5);

/// What becomes of the bytes that came before a line broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBreak {
    /// They stay, and the client goes on from the offset.
    Kept,
    /// The file is sent again as a whole.
    Dropped,
}

impl OnBreak {
    const fn advice(self) -> &'static str {
        match self {
            Self::Kept => "what came is kept, ask for the offset and go on",
            Self::Dropped => "nothing was kept, send the file again",
        }
    }
}

/// How much is read before an upload is open, in bytes: as much as comes in the milliseconds that takes.
const READ_AHEAD: usize = 1024 * 1024;

/// A body, of which the first bytes are read while its upload is being opened: a client of BITS sends a
/// fragment of 13 MB in 16 ms, of which waiting for the catalog would be a tenth.
pub struct Body {
    payload: Payload,
    early: VecDeque<Result<Bytes, PayloadError>>,
    early_bytes: usize,
    ended: bool,
    /// Whether its client waits until it is asked for: not before it is known that it is wanted.
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

    /// The next bytes, none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, PayloadError>> {
        match self.early.pop_front() {
            Some(early) => Some(early),
            None if self.ended => None,
            None => self.payload.next().await,
        }
    }
}

/// Reads a body into an upload, but for its first `skip` bytes, and acknowledges what came. However it
/// ends, what came is saved; why it ended early is the problem to tell.
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
        // It was not a newer request that ended this one: the upload is gone.
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

/// The next bytes of a body, none at its end.
pub async fn next_chunk(body: &mut Body, on_break: OnBreak) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => {
            tracing::debug!(%error, "an upload broke off");
            let detail = format!("the upload broke off; {}", on_break.advice());
            Err(Problem::new(Code::BodyTruncated, detail))
        }
        Err(_) => {
            let detail = format!("no bytes came for five minutes; {}", on_break.advice());
            Err(Problem::new(Code::BodyTooSlow, detail))
        }
    }
}
