//! Fetches a file in the way that takes the fewest bytes: a delta from what is here, the chunks that are missing, or the
//! whole. Whatever goes wrong with the first two ends in the whole file, and the user is told.

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
    let seeds = seeds(place.folder, &file.name, place.revision, place.named_seeds);
    let mut in_vain = 0;
    let tell = |way: &str, reason: String| {
        progress.note(&format!("{} was not fetched by {way}: {reason}", file.name));
    };
    if let Some((delta, seed)) = usable_delta(file, &seeds) {
        match by_delta::fetch(connection, file, delta, &seed.path, place.folder, bar).await? {
            Attempt::Done(fetched) => return Ok((fetched, Via::Delta)),
            Attempt::InVain { reason, fetched } => {
                in_vain += fetched;
                tell("delta", reason);
            }
            Attempt::NotCheaper { fetched } => in_vain += fetched,
        }
    }
    // Also without any seed: the list says where there are holes.
    if let Some(list) = &file.chunks {
        match by_chunks::fetch(connection, file, list, &seeds, place.folder, bar).await? {
            Attempt::Done(mut fetched) => {
                fetched.fetched += in_vain;
                return Ok((fetched, Via::Chunks));
            }
            Attempt::InVain { reason, fetched } => {
                in_vain += fetched;
                tell("chunks", reason);
            }
            Attempt::NotCheaper { fetched } => in_vain += fetched,
        }
    }
    bar.set_length(file.size);
    let mut fetched = download::fetch_whole(connection, file, place.folder, bar).await?;
    fetched.fetched += in_vain;
    Ok((fetched, Via::Whole))
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
