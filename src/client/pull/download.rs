//! Fetches one file over as many connections as it takes, verifies it, and only then gives it its name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressBar;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::connection::Connection;
use super::super::digest::digest_of;
use super::super::exit_code::Exit;
use super::super::retry::{Attempts, Setback};
use super::fetch_plan::PlannedFile;
use super::partial::Partial;
use super::verified;
use crate::client::error::Failure;
use crate::model::Digest;

/// The number of pieces (tens of kilobytes each) that the network may be ahead of the disk.
const PIECES_AHEAD: usize = 64;

/// The sources of a file's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes that came over the network in this pull. More than the size if something had to be fetched again.
    pub fetched: u64,
    /// The bytes that were already on this disk.
    pub reused: u64,
}

/// The evidence that is required to trust a file from an earlier pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingFiles {
    /// The note that it was verified, if its size and date are still the same.
    TrustNote,
    /// Its bytes, which are read again.
    Reread,
}

/// Somebody who reads a file while it arrives.
pub trait Onlooker: Send + Sync + fmt::Debug {
    /// The file is arriving, with these headers.
    fn answered(&self, headers: &HeaderMap);
    /// So many bytes can be read from the unfinished file.
    fn written(&self, length: u64);
    /// The bytes that could be read so far are not part of the file any more.
    fn begun_anew(&self);
}

/// The onlooker of a file that nobody reads before it is whole.
#[derive(Debug)]
struct Nobody;

impl Onlooker for Nobody {
    fn answered(&self, _: &HeaderMap) {}
    fn written(&self, _: u64) {}
    fn begun_anew(&self) {}
}

fn is_there(
    path: &Path,
    size: u64,
    digest: Digest,
    what_is_there: ExistingFiles,
) -> Result<bool, Failure> {
    if what_is_there == ExistingFiles::TrustNote && verified::is_as_noted(path, size, &digest) {
        return Ok(true);
    }
    let is_right = digest_of(path, size)? == Some(digest);
    if is_right {
        verified::write_note(path, &digest);
    }
    Ok(is_right)
}

/// Reports whether the folder has the file, intact.
pub async fn is_complete(
    file: &PlannedFile,
    folder: &Path,
    what_is_there: ExistingFiles,
    bar: &ProgressBar,
) -> Result<bool, Failure> {
    bar.set_message("(checking existing files)");
    let path = folder.join(&file.name);
    let (size, digest) = (file.size, file.digest);
    blocking(move || is_there(&path, size, digest, what_is_there)).await
}

/// Fetches the whole file into the folder, unless it is there.
pub async fn fetch(
    connection: &Connection,
    file: &PlannedFile,
    folder: &Path,
    what_is_there: ExistingFiles,
    bar: &ProgressBar,
) -> Result<Fetched, Failure> {
    if is_complete(file, folder, what_is_there, bar).await? {
        return Ok(Fetched { fetched: 0, reused: file.size });
    }
    fetch_whole(connection, file, folder, bar).await
}

/// Fetches the whole file into the folder.
///
/// The exit code is `Verification` if the bytes do not match the digest. Then the final name still has whatever was
/// there before.
pub async fn fetch_whole(
    connection: &Connection,
    file: &PlannedFile,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<Fetched, Failure> {
    fetch_before(Arc::new(Nobody), connection, file, folder, bar).await
}

/// Fetches the whole file before the eyes of an onlooker, who must not take it for whole until this has ended.
pub async fn fetch_before(
    onlooker: Arc<dyn Onlooker>,
    connection: &Connection,
    file: &PlannedFile,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<Fetched, Failure> {
    let (size, digest) = (file.size, file.digest);
    let (place, name) = (folder.to_owned(), file.name.clone());
    let mut partial = blocking(move || Partial::open(&place, &name, size)).await?;
    bar.set_message("");

    let sum = Fetched { fetched: 0, reused: partial.length() };
    onlooker.written(partial.length());
    let mut download = Download { connection, file, bar, sum, onlooker };
    loop {
        partial = download.complete(partial).await?;
        if partial.digest() == digest {
            let path = folder.join(&file.name);
            blocking(move || {
                partial.finish()?;
                verified::write_note(&path, &digest);
                Ok(())
            })
            .await?;
            return Ok(download.sum);
        }
        if download.sum.reused == 0 {
            let got = partial.digest();
            blocking(move || partial.discard()).await?;
            let message = format!("the bytes received have the digest {got} instead of {digest}");
            return Err(Failure::new(Exit::Verification, message));
        }
        // The bytes left by an earlier pull may be damaged, for example by a power failure.
        tracing::warn!(name = file.name, "the unfinished file was damaged, starting again");
        partial.restart(None)?;
        download.onlooker.begun_anew();
        download.sum.reused = 0;
    }
}

/// A file that is being fetched, over one connection after the other.
struct Download<'a> {
    connection: &'a Connection,
    file: &'a PlannedFile,
    bar: &'a ProgressBar,
    sum: Fetched,
    onlooker: Arc<dyn Onlooker>,
}

impl Download<'_> {
    /// Fetches until the length is right. Progress beyond the furthest point so far resets the retries. Receiving the
    /// same bytes once more, from a server that cannot continue, does not.
    async fn complete(&mut self, mut partial: Partial) -> Result<Partial, Failure> {
        let Self { connection, file, bar, .. } = *self;
        let mut attempts = Attempts::new(connection.transfers);
        let mut furthest = partial.length();
        while partial.length() < file.size {
            bar.set_position(partial.length());
            bar.reset_eta();
            let outcome;
            (partial, outcome) = self.continue_once(partial).await?;
            if partial.length() > furthest {
                furthest = partial.length();
                attempts.renew();
            }
            if let Err(setback) = outcome {
                bar.set_message("(connection lost, continuing)");
                attempts.next(setback).await?;
            }
        }
        Ok(partial)
    }

    /// Makes one request: asks for the missing part and appends what comes.
    async fn continue_once(
        &mut self,
        mut partial: Partial,
    ) -> Result<(Partial, Result<(), Setback>), Failure> {
        let Self { connection, file, bar, .. } = *self;
        let mut request = connection.request(Method::GET, file.url.clone());
        if let Some(etag) = partial.etag().filter(|_| partial.length() > 0) {
            request = request
                .header(RANGE, format!("bytes={}-", partial.length()))
                .header(IF_RANGE, etag);
        }
        let response = match timeout(connection.stall, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ok((partial, Err(connection.broken(&error)))),
            Err(_) => return Ok((partial, Err(stalled(connection)))),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues(response.headers(), &partial, file) => {}
            StatusCode::OK => {
                must_have_the_size(&response, file)?;
                partial.restart(strong_etag(response.headers()))?;
                self.onlooker.begun_anew();
                self.sum.reused = 0;
                bar.set_position(0);
            }
            // This is not the rest of our bytes, so ask for the whole file: that request has no range to misunderstand.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
                if partial.length() > 0 =>
            {
                partial.restart(None)?;
                self.onlooker.begun_anew();
                self.sum.reused = 0;
                let message = "the server could not resume the download";
                let setback = Setback::passing(Failure::new(Exit::Unreachable, message));
                return Ok((partial, Err(setback)));
            }
            _ => return Ok((partial, Err(Setback::answered(response).await))),
        }
        self.onlooker.answered(response.headers());
        self.receive(response, partial).await
    }

    /// Writes the body into the file. The network is read here; disk and hashing run on a thread of their own.
    async fn receive(
        &mut self,
        mut response: Response,
        mut partial: Partial,
    ) -> Result<(Partial, Result<(), Setback>), Failure> {
        let Self { connection, file, bar, .. } = *self;
        let size = file.size;
        let mut missing = size - partial.length();
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let onlooker = Arc::clone(&self.onlooker);
        let writer = spawn_blocking(move || {
            let written = partial.append(pieces, |length| onlooker.written(length));
            (partial, written)
        });
        let outcome = loop {
            let piece = match timeout(connection.stall, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) if missing == 0 => break Ok(()),
                Ok(Ok(None)) => {
                    let short = Failure::new(
                        Exit::Unreachable,
                        "the connection ended before the end of the file",
                    );
                    break Err(Setback::passing(short));
                }
                Ok(Err(error)) => break Err(connection.broken(&error)),
                Err(_) => break Err(stalled(connection)),
            };
            let count = piece.len() as u64;
            if count > missing {
                break Err(Setback::lasting(wrong_size(size)));
            }
            missing -= count;
            self.sum.fetched += count;
            bar.inc(count);
            if sender.send(piece).await.is_err() {
                // The disk failed; the writer reports how.
                break Ok(());
            }
            if let Err(failure) = connection.line.received(count).await {
                break Err(Setback::lasting(failure));
            }
        };
        drop(sender);
        let (partial, written) = writer.await.map_err(|error| Failure::lost_task(&error))?;
        written?;
        Ok((partial, outcome))
    }
}

/// Checks for a `206` with exactly the rest of the same bytes (RFC 9110 section 15.3.7).
fn continues(headers: &HeaderMap, partial: &Partial, file: &PlannedFile) -> bool {
    let rest = format!("bytes {}-{}/{}", partial.length(), file.size - 1, file.size);
    headers.get(CONTENT_RANGE).is_some_and(|range| range.as_bytes() == rest.as_bytes())
        && partial.etag().is_some()
        && strong_etag(headers).is_none_or(|etag| Some(etag) == partial.etag())
}

fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    headers.get(ETAG)?.to_str().ok().filter(|etag| etag.starts_with('"'))
}

/// Checks the size before the first byte, because the tree always sends `Content-Length`.
fn must_have_the_size(response: &Response, file: &PlannedFile) -> Result<(), Failure> {
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length != file.size => Err(wrong_size(file.size)),
        _ => Ok(()),
    }
}

fn wrong_size(expected: u64) -> Failure {
    let message = format!("the server's file does not have the expected size of {expected} bytes");
    Failure::new(Exit::Verification, message)
}

pub(super) fn stalled(connection: &Connection) -> Setback {
    let seconds = connection.stall.as_secs();
    let message = format!("{} sent nothing for {seconds} s", connection.server());
    Setback::passing(Failure::new(Exit::Unreachable, message))
}

pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| Failure::lost_task(&error))?
}
