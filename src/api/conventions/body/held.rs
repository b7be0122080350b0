//! Bodies that are held in memory until they are complete, with a limit for each and one for all together.
//!
//! A client that sends half of a body and then waits occupies memory for that half. Without a limit for all requests, a
//! few hundred anonymous connections would take gigabytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::api::conventions::problem::{Code, Problem};

/// The limit for all requests together, in bytes. It applies to this process, because it protects this machine's
/// memory.
const ALL_TOGETHER: usize = 32 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// A complete body. Its bytes count towards the limit until it is dropped.
pub struct HeldBody {
    pub bytes: Bytes,
    _held: Held,
}

/// The number of bytes that count towards the limit.
struct Held(usize);

impl Held {
    fn more(&mut self, count: usize) -> Result<(), Problem> {
        if HELD.fetch_add(count, Ordering::Relaxed) + count > ALL_TOGETHER {
            HELD.fetch_sub(count, Ordering::Relaxed);
            return Err(Problem::new(
                Code::TooManyBodies,
                "other requests use all the memory for bodies; send the request again in a moment",
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

/// Reads a body of at most `most` bytes. A body whose `Content-Length` is larger is refused before it is read.
pub async fn collect(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> Result<HeldBody, Problem> {
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("the body exceeds the limit of {most} bytes"));
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
