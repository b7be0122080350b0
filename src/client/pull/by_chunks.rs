//! Fetches the chunks that no seed has, as ranges of the file, and puts the file together.
//!
//! The network runs ahead of the thread that puts the file together ([`assembly`](super::assembly)): a few ranges over
//! connections of their own, in the order in which they are needed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use super::assembly::{Assembly, Ended, ReadSeed, begin};
use super::attempt::Attempt;
use super::download::{Fetched, blocking, stalled};
use super::fetch_plan::PlannedFile;
use super::seeds::Seed;
use crate::client::connection::Connection;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::retry::{Attempts, Setback};
use crate::delta::chunks::{ChunkList, list_of};
use crate::delta::{SHORTEST_GAP, Seeds, Unpaced, is_worth_ranges, plan};
use crate::file_system;

/// The number of ranges that are fetched at once.
const CONNECTIONS: usize = 4;

/// The most bytes of a list: that of an image of a terabyte.
const LONGEST_LIST: u64 = 256 << 20;

/// The most bytes of one range: so many times the number of connections are in memory.
const LONGEST_RANGE: u64 = 4 << 20;

/// Fetches what no seed has.
pub async fn fetch(
    connection: &Connection,
    file: &PlannedFile,
    list: &Url,
    seeds: &[Seed],
    folder: &Path,
    bar: &ProgressBar,
) -> Result<Attempt, Failure> {
    let in_vain =
        |reason: &str, fetched| Ok(Attempt::InVain { reason: reason.to_owned(), fetched });
    bar.set_message("(comparing with existing files)");
    let limit = ChunkList::largest(file.size).min(LONGEST_LIST);
    let bytes = list_at(connection, list, limit).await?;
    let mut fetched = bytes.len() as u64;
    let Ok(target) = ChunkList::read(&bytes) else {
        return in_vain("the chunk list is damaged", fetched);
    };
    if (target.size(), target.digest()) != (file.size, file.digest) {
        return in_vain("the chunk list is one of another file", fetched);
    }
    let target = Arc::new(target);
    let paths: Vec<_> = seeds.iter().map(|seed| seed.path.clone()).collect();
    let mut files = blocking(move || Ok(read_seeds(paths))).await?;
    // A seed that changes while it is read is left out, and the rest is planned anew.
    loop {
        let (place, name) = (folder.to_owned(), file.name.clone());
        let (list, list_size) = (Arc::clone(&target), bytes.len() as u64);
        let begun = blocking(move || begin_with(&place, &name, list, list_size, files));
        let Some(assembly) = begun.await? else {
            return Ok(Attempt::NotCheaper { fetched });
        };
        let (ended, left, of_ranges) = carry_out(connection, &file.url, assembly, bar).await?;
        fetched += of_ranges;
        match ended {
            Ended::Complete => {
                let reused = file.size.saturating_sub(fetched);
                return Ok(Attempt::Done(Fetched { fetched, reused }));
            }
            Ended::SeedChanged(seed) if seed < left.len() => {
                files = left;
                files.remove(seed);
            }
            Ended::SeedChanged(_) => return in_vain("an existing file changes", fetched),
            Ended::WrongBytes(reason) => return in_vain(reason, fetched),
        }
    }
}

/// Divides the seeds into chunks. Those that cannot be read are left out.
fn read_seeds(paths: Vec<PathBuf>) -> Vec<ReadSeed> {
    let read = paths.into_iter().map(|path| {
        let file = file_system::open_named(&path).ok()?;
        let size = file.metadata().ok()?.len();
        let list = list_of(&file, size, &mut Unpaced).ok()?;
        Some(ReadSeed { file, list })
    });
    read.flatten().collect()
}

/// Plans the file and opens it; none if the whole file is the better way. An unfinished download is not touched then.
fn begin_with(
    folder: &Path,
    name: &str,
    list: Arc<ChunkList>,
    list_size: u64,
    seeds: Vec<ReadSeed>,
) -> Result<Option<Assembly>, Failure> {
    let mut known = Seeds::default();
    for seed in &seeds {
        known.add(&seed.list);
    }
    let plan = plan(&list, &known, SHORTEST_GAP);
    if !is_worth_ranges(list.size(), plan.bytes_to_fetch() + list_size) {
        return Ok(None);
    }
    begin(folder, name, list, &plan, seeds).map(Some)
}

/// Fetches a chunk list of at most so many bytes, with the patience of a transfer.
async fn list_at(connection: &Connection, url: &Url, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut attempts = Attempts::new(connection.transfers);
    loop {
        match try_list(connection, url, limit).await {
            Ok(bytes) => return Ok(bytes),
            Err(setback) => attempts.next(setback).await?,
        }
    }
}

async fn try_list(connection: &Connection, url: &Url, limit: u64) -> Result<Vec<u8>, Setback> {
    let request = connection.request(Method::GET, url.clone());
    let mut response = match timeout(connection.stall, request.send()).await {
        Ok(Ok(response)) if response.status() == StatusCode::OK => response,
        Ok(Ok(response)) => return Err(Setback::answered(response).await),
        Ok(Err(error)) => return Err(connection.broken(&error)),
        Err(_) => return Err(stalled(connection)),
    };
    let mut bytes = Vec::new();
    loop {
        match timeout(connection.stall, response.chunk()).await {
            Ok(Ok(Some(piece))) if (bytes.len() + piece.len()) as u64 <= limit => {
                bytes.extend_from_slice(&piece);
                connection.line.received(piece.len() as u64).await.map_err(Setback::lasting)?;
            }
            Ok(Ok(Some(_))) => {
                let failure = Failure::new(Exit::Verification, "the chunk list is too long");
                return Err(Setback::lasting(failure));
            }
            Ok(Ok(None)) => return Ok(bytes),
            Ok(Err(error)) => return Err(connection.broken(&error)),
            Err(_) => return Err(stalled(connection)),
        }
    }
}

/// Fetches the ranges and puts the file together. Returns the seeds, and the number of bytes that came.
async fn carry_out(
    connection: &Connection,
    url: &Url,
    assembly: Assembly,
    bar: &ProgressBar,
) -> Result<(Ended, Vec<ReadSeed>, u64), Failure> {
    bar.set_message("");
    let size = assembly.size();
    let ranges = assembly.ranges(LONGEST_RANGE);
    let (sender, received) = mpsc::channel(1);
    let shown = bar.clone();
    let worker = spawn_blocking(move || assembly.run(received, |done| shown.set_position(done)));
    let mut coming = stream::iter(ranges)
        .map(|range| range_of(connection, url, range, size))
        .buffered(CONNECTIONS);
    let mut fetched = 0;
    let mut failed = None;
    while let Some(range) = coming.next().await {
        match range {
            Ok(bytes) => {
                fetched += bytes.len() as u64;
                // If the thread has ended, it says why.
                if sender.send(bytes).await.is_err() {
                    break;
                }
            }
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    drop(sender);
    let (ended, seeds) = worker.await.map_err(|error| Failure::lost_task(&error))??;
    match failed {
        Some(NotFetched::NoRanges) => {
            let ended = Ended::WrongBytes("the server does not serve ranges of the file");
            Ok((ended, seeds, fetched))
        }
        Some(NotFetched::Failure(failure)) => Err(failure),
        None => Ok((ended, seeds, fetched)),
    }
}

/// The reason why a range was not fetched.
enum NotFetched {
    NoRanges,
    Failure(Failure),
}

/// Fetches a range of a file of `size` bytes.
async fn range_of(
    connection: &Connection,
    url: &Url,
    range: Range<u64>,
    size: u64,
) -> Result<Bytes, NotFetched> {
    let mut attempts = Attempts::new(connection.transfers);
    let mut bytes = BytesMut::new();
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    loop {
        let before = bytes.len();
        let outcome = go_on(connection, url, &range, size, &mut bytes).await?;
        if bytes.len() == length {
            return Ok(bytes.freeze());
        }
        if bytes.len() > before {
            attempts.renew();
        }
        let short = || Setback::passing(Failure::new(Exit::Unreachable, "the connection ended"));
        let setback = outcome.err().unwrap_or_else(short);
        attempts.next(setback).await.map_err(NotFetched::Failure)?;
    }
}

/// Makes one request for what is missing of a range, and appends what comes.
async fn go_on(
    connection: &Connection,
    url: &Url,
    range: &Range<u64>,
    size: u64,
    bytes: &mut BytesMut,
) -> Result<Result<(), Setback>, NotFetched> {
    let (from, last) = (range.start + bytes.len() as u64, range.end - 1);
    let request =
        connection.request(Method::GET, url.clone()).header(RANGE, format!("bytes={from}-{last}"));
    let mut response = match timeout(connection.stall, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Ok(Err(connection.broken(&error))),
        Err(_) => return Ok(Err(stalled(connection))),
    };
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Err(NotFetched::NoRanges),
        _ => return Ok(Err(Setback::answered(response).await)),
    }
    let expected = format!("bytes {from}-{last}/{size}");
    if response.headers().get(CONTENT_RANGE).is_none_or(|got| got.as_bytes() != expected.as_bytes())
    {
        return Err(NotFetched::NoRanges);
    }
    loop {
        match timeout(connection.stall, response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                if from + piece.len() as u64 > range.end
                    || bytes.len() + piece.len()
                        > usize::try_from(range.end - range.start).unwrap_or(0)
                {
                    return Err(NotFetched::NoRanges);
                }
                bytes.extend_from_slice(&piece);
                if let Err(failure) = connection.line.received(piece.len() as u64).await {
                    return Ok(Err(Setback::lasting(failure)));
                }
            }
            Ok(Ok(None)) => return Ok(Ok(())),
            Ok(Err(error)) => return Ok(Err(connection.broken(&error))),
            Err(_) => return Ok(Err(stalled(connection))),
        }
    }
}
