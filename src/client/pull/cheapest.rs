//! Fetches a file in the way that takes the fewest bytes: a delta from what is here, the chunks that are missing, or the
//! whole. Whatever goes wrong with the first two ends in the whole file, and the user is told; but if the server is away,
//! the pull ends, and the next one goes on with what is here.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde::Serialize;

use super::attempt::Attempt;
use super::by_chunks;
use super::by_delta;
use super::download::{self, ExistingFiles, Fetched};
use super::fetch_plan::PlannedFile;
use super::seeds::{Seed, seeds};
use crate::client::connection::Connection;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::progress::Progress;

/// The way in which a file was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It was there.
    Existing,
    Delta,
    Chunks,
    Whole,
}

/// The place of a file, and what may be used for it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub folder: &'a Path,
    pub revision: u64,
    /// Folders with other revisions, beside this one.
    pub other_folders: &'a [PathBuf],
    /// Files that the user names.
    pub named_seeds: &'a [PathBuf],
    pub existing: ExistingFiles,
}

/// Fetches the file, unless it is there. Returns the bytes, and the way.
pub async fn fetch(
    connection: &Connection,
    file: &PlannedFile,
    place: Place<'_>,
    progress: &Progress,
) -> Result<(Fetched, Via), Failure> {
    let bar = &progress.file(&file.name, file.size);
    let fetched = if download::is_complete(file, place.folder, place.existing, bar).await? {
        (Fetched { fetched: 0, reused: file.size }, Via::Existing)
    } else {
        fetch_missing(connection, file, place, progress, bar).await?
    };
    // A pull that was killed may have left one although the file was complete.
    by_delta::remove_deltas(place.folder, &file.name);
    Ok(fetched)
}

async fn fetch_missing(
    connection: &Connection,
    file: &PlannedFile,
    place: Place<'_>,
    progress: &Progress,
    bar: &ProgressBar,
) -> Result<(Fetched, Via), Failure> {
    let mut folders = vec![place.folder];
    folders.extend(place.other_folders.iter().map(PathBuf::as_path));
    let seeds = seeds(&folders, &file.name, place.revision, place.named_seeds);
    let mut in_vain = 0;
    if let Some((delta, seed)) = usable_delta(file, &seeds) {
        let attempt = by_delta::fetch(connection, file, delta, &seed.path, place.folder, bar);
        match outcome(attempt.await)? {
            Attempt::Done(fetched) => return Ok((fetched, Via::Delta)),
            other => in_vain += told(other, "delta", file, progress),
        }
    }
    // Also without any seed: the list says where there are holes.
    if let Some(list) = &file.chunks {
        let attempt = by_chunks::fetch(connection, file, list, &seeds, place.folder, bar);
        match outcome(attempt.await)? {
            Attempt::Done(mut fetched) => {
                fetched.fetched += in_vain;
                return Ok((fetched, Via::Chunks));
            }
            other => in_vain += told(other, "chunks", file, progress),
        }
    }
    bar.set_length(file.size);
    let mut fetched = download::fetch_whole(connection, file, place.folder, bar).await?;
    fetched.fetched += in_vain;
    Ok((fetched, Via::Whole))
}

/// A failure of an attempt that saves bytes is no failure of the pull: the whole file may be had all the same.
fn outcome(attempt: Result<Attempt, Failure>) -> Result<Attempt, Failure> {
    match attempt {
        // A server that is away is away for the whole file, too: what this attempt has is gone on with.
        Err(failure)
            if matches!(failure.exit(), Exit::Conflict | Exit::Interrupted | Exit::Unreachable) =>
        {
            Err(failure)
        }
        Err(failure) => Ok(Attempt::InVain { reason: failure.to_string(), fetched: 0 }),
        done => done,
    }
}

/// Tells the user of an attempt that went wrong, and returns the bytes that it took.
fn told(attempt: Attempt, way: &str, file: &PlannedFile, progress: &Progress) -> u64 {
    match attempt {
        Attempt::InVain { reason, fetched } => {
            progress.note(&format!("{} was not fetched by {way}: {reason}", file.name));
            fetched
        }
        Attempt::NotCheaper { fetched } => fetched,
        Attempt::Done(_) => 0,
    }
}

/// Returns the delta that starts from a revision that is here, if it is smaller than the file.
fn usable_delta<'a>(
    file: &'a PlannedFile,
    seeds: &'a [Seed],
) -> Option<(&'a super::fetch_plan::PlannedDelta, &'a Seed)> {
    let mut pairs: Vec<_> = file
        .deltas
        .iter()
        .filter(|delta| delta.size < file.size)
        .filter_map(|delta| {
            let seed = seeds.iter().find(|seed| seed.revision == Some(delta.from))?;
            Some((delta, seed))
        })
        .collect();
    pairs.sort_unstable_by_key(|(delta, _)| delta.size);
    pairs.first().copied()
}
