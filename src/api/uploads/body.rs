//! The body of a request on its way into an upload.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;

use crate::api::problem::Problem;
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

/// Reads a body into an upload, but for its first `skip` bytes, and acknowledges what came. However it
/// ends, what came is saved; why it ended early is the problem to tell.
pub async fn take_in(
    mut appending: Appending,
    mut payload: Payload,
    skip: u64,
) -> Result<Upload, Problem> {
    let ended = read_into(&mut appending, &mut payload, skip).await;
    let saved = appending.save().await;
    match (ended, saved) {
        // It was not a newer request that ended this one: the upload is gone.
        (Err(_), Err(gone @ Error::UploadLost)) => Err(gone.into()),
        (ended, saved) => {
            ended?;
            Ok(saved?)
        }
    }
}

async fn read_into(
    appending: &mut Appending,
    payload: &mut Payload,
    mut skip: u64,
) -> Result<(), Problem> {
    loop {
        let chunk = tokio::select! {
            biased;
            () = appending.superseded() => return Err(Error::UploadTakenOver.into()),
            chunk = next_chunk(payload, OnBreak::Kept) => chunk?,
        };
        let Some(mut bytes) = chunk else { return Ok(()) };
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
        skip -= skipped as u64;
        appending.write(bytes.split_off(skipped)).await?;
    }
}

/// The next bytes of a body, none at its end.
pub async fn next_chunk(
    payload: &mut Payload,
    on_break: OnBreak,
) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(SILENCE, payload.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => {
            let detail = format!("the upload broke off ({error}); {}", on_break.advice());
            Err(Problem::new(StatusCode::BAD_REQUEST, "body_truncated", detail))
        }
        Err(_) => {
            let detail = format!("no bytes came for five minutes; {}", on_break.advice());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail))
        }
    }
}
