//! Bodies that are held in memory until they are whole: bounded each, and all together.
//!
//! Whoever sends half of a body and waits holds what came so far. Without a bound over all requests a few hundred connections of
//! nobody in particular would take gigabytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::api::conventions::problem::{Code, Problem};

/// What all requests together may hold, in bytes. Of this process: it is this machine's memory that is spared.
const ALL_TOGETHER: usize = 32 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// A whole body. Its bytes count until it is dropped.
pub struct HeldBody {
    pub bytes: Bytes,
    _held: Held,
}

/// So many bytes of those that may be held.
struct Held(usize);

impl Held {
    fn more(&mut self, count: usize) -> Result<(), Problem> {
        if HELD.fetch_add(count, Ordering::Relaxed) + count > ALL_TOGETHER {
            HELD.fetch_sub(count, Ordering::Relaxed);
            return Err(Problem::new(
                Code::TooManyBodies,
                "other requests hold as much memory as there is for bodies; send it again in a moment",
            ));
        }
        self.0 += count;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Reads a body of at most `most` bytes. One that says beforehand that it is longer is not begun.
pub async fn collect(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> Result<HeldBody, Problem> {
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("the body has at most {most} bytes here"));
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if said.and_then(|said| said.parse::<usize>().ok()).is_some_and(|said| said > most) {
        return Err(too_large());
    }
    let (mut held, mut bytes) = (Held(0), BytesMut::new());
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| unreadable(&error))?;
        if bytes.len() + piece.len() > most {
            return Err(too_large());
        }
        held.more(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(HeldBody { bytes: bytes.freeze(), _held: held })
}

fn unreadable(error: &PayloadError) -> Problem {
    match error {
        PayloadError::Io(late) if late.kind() == std::io::ErrorKind::TimedOut => {
            Problem::new(Code::BodyTooSlow, late.to_string())
        }
        error => Problem::new(Code::BodyUnreadable, format!("the body could not be read: {error}")),
    }
}
