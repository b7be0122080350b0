//! Removing what nothing names any more, in the order in which readers look for it.
//!
//! Documents and indexes leave at once: nobody begins with them any more. Other files stay for a grace, for those who
//! are fetching them. Nothing of a revoked revision stays. Files that the mirror did not make are never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _};
use reqwest::StatusCode;

use super::manifest::{Channel, NAME};
use super::record::{Held, Made, OfRevision};
use super::rules::Rules;
use super::served::Served;
use crate::client::error::Failure;
use crate::client::trust::copy::path_of;
use crate::client::trust::picture::Picture;
use crate::client::trust::source::Source;
use crate::trust::role::{FOLDER, FileName};

/// The time for which metadata stays that was replaced, as a depot keeps it.
const METADATA_GRACE: Duration = Duration::from_hours(1);

/// The time limit of a question about a file that is leaving.
const LIMIT: Duration = Duration::from_secs(10);

/// The number of such questions at once.
const AT_ONCE: usize = 16;

/// The names that a picture has, and what was revoked.
#[derive(Debug)]
pub struct Named {
    paths: BTreeSet<String>,
    /// By channel and image.
    revoked: BTreeMap<(String, String), Vec<u64>>,
}

impl Named {
    /// Returns what the channels name, and the last `keep` revisions before, as far as they are signed.
    pub fn new(held: &Held, channels: &[Channel], picture: &Picture, keep: usize) -> Self {
        let mut named = Self { paths: BTreeSet::new(), revoked: BTreeMap::new() };
        named.paths.extend(picture.files().iter().map(|file| path_of(*file)));
        named.paths.insert(path_of(FileName::Timestamp));
        for channel in channels {
            named.paths.insert(channel.path.clone());
            for image in &channel.images {
                named.paths.extend(image.files().map(|(_, file)| file.path.clone()));
                let now: Vec<_> = image.revisions.iter().map(|revision| revision.number).collect();
                let place = (channel.name.clone(), image.name.clone());
                let kept = Kept { held, picture, place: &place, revoked: &image.revoked };
                named.paths.extend(kept.paths(&now, keep));
                named.revoked.insert(place, image.revoked.clone());
            }
        }
        named
    }

    fn is_revoked(&self, made: &Made) -> bool {
        let Some(OfRevision { channel, image, revision }) = &made.of else { return false };
        let revoked = self.revoked.get(&(channel.clone(), image.clone()));
        revoked.is_some_and(|revoked| revoked.contains(revision))
    }
}

/// The files of earlier revisions of an image.
struct Kept<'a> {
    held: &'a Held,
    picture: &'a Picture,
    place: &'a (String, String),
    revoked: &'a [u64],
}

impl Kept<'_> {
    /// Returns the files of the last revisions before. What the depot does not sign any more is not kept: it was rolled
    /// back, or the depot's folder does not have it either.
    fn paths(&self, now: &[u64], keep: usize) -> Vec<String> {
        let (channel, image) = self.place;
        let Some(known) = self.held.record.channels.get(channel) else { return Vec::new() };
        let is_signed = |path: &str, made: &Made| {
            let target = self.picture.target(path);
            target.is_some_and(|target| target.digest() == Some(made.digest))
        };
        let of = |number: u64| {
            let all = self.held.record.files.iter().filter(move |(_, made)| {
                made.of.as_ref().is_some_and(|of| {
                    of.revision == number && of.channel == *channel && of.image == *image
                })
            });
            all.filter(|(path, made)| is_signed(path, made)).map(|(path, _)| path.clone())
        };
        let may_stay = |number| !self.revoked.contains(&number) && of(number).next().is_some();
        // During a rollout, both revisions are named, and the one before them is kept as before.
        let kept = known.last_before(image, now, keep, may_stay);
        kept.into_iter().flat_map(of).collect()
    }
}

/// Notes since when files are not named any more. The record is to be kept by the caller.
pub fn mark(held: &mut Held, named: &Named) {
    let now = now();
    for (path, made) in &mut held.record.files {
        if named.paths.contains(path) {
            made.unnamed_since = None;
        } else {
            made.unnamed_since.get_or_insert(now);
        }
    }
}

/// Removes what was revoked. Returns the number of files.
pub fn remove_revoked(held: &mut Held, served: &Served, named: &Named) -> Result<usize, Failure> {
    remove(held, served, |_, made| named.is_revoked(made))
}

/// Removes what has been without a name for long enough, or is gone upstream.
pub fn remove_due(
    held: &mut Held,
    served: &Served,
    rules: &Rules,
    gone: &BTreeSet<String>,
) -> Result<usize, Failure> {
    let now = now();
    remove(held, served, |path, made| {
        let Some(since) = made.unnamed_since else { return false };
        let age = Duration::from_secs(now.saturating_sub(since));
        let grace = match rank(path) {
            0 | 1 => Duration::ZERO,
            _ if is_metadata(path) => METADATA_GRACE,
            _ => rules.grace,
        };
        age >= grace || gone.contains(path)
    })
}

/// Asks upstream for the files that are leaving. A revoked revision is gone there, and does not wait for the end of the
/// grace, also if no document says so any more.
pub async fn gone_upstream(source: &Source, held: &Held) -> BTreeSet<String> {
    let leaving = held.record.files.iter().filter(|(_, made)| made.unnamed_since.is_some());
    let leaving = leaving.filter(|(_, made)| made.of.is_some()).map(|(path, _)| path.clone());
    let asked = leaving.map(|path| async move {
        let status = source.status(&path, LIMIT).await;
        status.map(|status| (path, status))
    });
    let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut gone = BTreeSet::new();
    // When nobody answers, they are asked again at the next look.
    while let Some(Ok((path, status))) = answers.next().await {
        if status == StatusCode::GONE {
            gone.insert(path);
        }
    }
    gone
}

/// Removes files in the order in which readers look for them. Returns their number.
fn remove(
    held: &mut Held,
    served: &Served,
    is_due: impl Fn(&str, &Made) -> bool,
) -> Result<usize, Failure> {
    let due = held.record.files.iter().filter(|(path, made)| is_due(path, made));
    let mut due: Vec<_> = due.map(|(path, made)| (path.clone(), made.size)).collect();
    due.sort_by_key(|(path, _)| rank(path));
    let mut removed = 0;
    for (path, size) in &due {
        removed += usize::from(served.remove(path, *size)?);
        held.record.files.remove(path);
    }
    if !due.is_empty() {
        held.keep()?;
    }
    Ok(removed)
}

/// Returns the place in the order of removal.
fn rank(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map(|(_, end)| end) {
        _ if name == NAME => 0,
        Some("index") => 1,
        _ => 2,
    }
}

fn is_metadata(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
