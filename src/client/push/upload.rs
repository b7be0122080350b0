//! One file on its way to the server: read once, hashed and sent in the same pass.
//!
//! No `Repr-Digest` goes with the request: it would have to be known before the first byte, which
//! costs a second read of many gigabytes. Instead the digest computed here on the way is
//! compared with the one that the server computed, before the draft is sealed; that covers the same
//! ground, from this disk to the server's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use bytes::Bytes;
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::super::connection::Connection;
use super::super::failure::Failure;
use super::super::progress::Progress;
use super::super::retry::{Attempts, Setback};
use super::files::LocalFile;
use crate::model::Digest;

/// Large enough that reading, hashing and sending overlap; a few of them are all that is held.
const PIECE: usize = 1024 * 1024;
const PIECES_AHEAD: usize = 4;

/// What was read here and acknowledged there.
#[derive(Debug)]
pub struct Sent {
    pub role: &'static str,
    pub size: u64,
    pub digest: Digest,
}

/// Sends the whole file; after a broken line once more from the start.
pub async fn send(
    connection: &Connection,
    address: Url,
    file: &LocalFile,
    progress: Progress,
) -> Result<Sent, Failure> {
    let unreadable = |error: &io::Error| Failure::local("read", &file.path, error);
    let size = std::fs::metadata(&file.path).map_err(|error| unreadable(&error))?.len();
    let name = file.path.file_name().unwrap_or(file.path.as_os_str()).to_string_lossy();
    let bar = progress.file(&name, size);

    let mut attempts = Attempts::new(connection.transfers);
    loop {
        bar.set_position(0);
        bar.reset_eta();
        let (pieces, reader) = read_ahead(file.path.clone(), size, bar.clone());
        let request = connection
            .request(Method::PUT, address.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(body(pieces));
        let answer = request.send().await;
        let setback = match answer {
            Ok(response) if response.status().is_success() => {
                let read = reader.await.map_err(|error| Failure::lost_task(&error))?;
                let Some(digest) = read.map_err(|error| unreadable(&error))? else {
                    let early = "it accepted the file before it had the whole";
                    return Err(Failure::unreadable("answer", early));
                };
                bar.finish_and_clear();
                return Ok(Sent { role: file.role, size, digest });
            }
            // The reader is not waited for: it ends when the connection lets go of the body, and
            // a server that refuses may well not read the rest.
            Ok(response) => Setback::answered(response).await,
            Err(error) => match reader.await.map_err(|error| Failure::lost_task(&error))? {
                Ok(_) => connection.broken(&error),
                // A reading error breaks the request too; it is the one to tell.
                Err(error) => Setback::lasting(unreadable(&error)),
            },
        };
        bar.set_message("(line broken, once more)");
        attempts
            .next(setback)
            .await
            .map_err(|failure| failure.while_doing(&format!("sending {}", file.path.display())))?;
    }
}

/// Reads on a thread of its own. Ends with the digest, or with none when nobody wants the rest.
fn read_ahead(
    path: PathBuf,
    size: u64,
    bar: ProgressBar,
) -> (mpsc::Receiver<Bytes>, JoinHandle<io::Result<Option<Digest>>>) {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
            // The length is announced; a file that shrinks meanwhile cannot be sent.
            file.read_exact(&mut piece)?;
            hasher.update(&piece);
            left -= piece.len() as u64;
            bar.inc(piece.len() as u64);
            if sender.blocking_send(Bytes::from(piece)).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(Digest::from_bytes(hasher.finalize().into())))
    });
    (receiver, reader)
}

fn body(mut pieces: mpsc::Receiver<Bytes>) -> Body {
    Body::wrap_stream(async_stream::stream! {
        while let Some(piece) = pieces.recv().await {
            yield Ok::<_, io::Error>(piece);
        }
    })
}
