//! Fetches a delta, and makes the file from it and an older one.
//!
//! The delta is downloaded as any file, so that an interrupted download goes on, and verified. The file is made in
//! `NAME.partial`: the pieces that an interrupted attempt has made are kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::attempt::Attempt;
use super::download::{self, ExistingFiles, Fetched, blocking};
use super::fetch_plan::{PlannedDelta, PlannedFile};
use super::partial;
use super::verified;
use crate::client::connection::Connection;
use crate::client::error::Failure;
use crate::delta::{self, Delta, Next, Unpaced};
use crate::file_system;
use crate::model::Digest;

/// The end of a delta's name while it is needed: no published file is called so.
const SCRATCH: &str = ".partial.delta-";

/// Fetches the delta and applies it to the seed.
pub async fn fetch(
    connection: &Connection,
    file: &PlannedFile,
    delta: &PlannedDelta,
    seed: &Path,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<Attempt, Failure> {
    let name = name_of_delta(&file.name, delta.from);
    let planned = PlannedFile::whole(
        file.role.clone(),
        name.clone(),
        delta.url.clone(),
        delta.size,
        delta.digest,
    );
    bar.set_length(delta.size);
    let there = ExistingFiles::Reread;
    let fetched = download::fetch(connection, &planned, folder, there, bar).await?.fetched;
    bar.set_length(file.size);
    bar.set_message("(putting the file together)");
    let work = Apply {
        base: seed.to_owned(),
        delta: folder.join(name),
        folder: folder.to_owned(),
        name: file.name.clone(),
        size: file.size,
        digest: file.digest,
        bar: bar.clone(),
    };
    match blocking(move || work.run()).await {
        Err(failure) => {
            // Perhaps there is room for the file without the delta.
            remove_deltas(folder, &file.name);
            Err(failure)
        }
        Ok(None) => {
            let reused = file.size.saturating_sub(fetched);
            Ok(Attempt::Done(Fetched { fetched, reused }))
        }
        Ok(Some(reason)) => Ok(Attempt::InVain { reason, fetched }),
    }
}

/// Returns the name under which a delta to a file is kept while it is needed.
pub fn name_of_delta(file: &str, from: u64) -> String {
    format!("{file}{SCRATCH}{from}")
}

/// Removes deltas to a file that is complete. What cannot be removed does no harm.
pub fn remove_deltas(folder: &Path, file: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let of_file = name.to_str().and_then(|name| name.strip_prefix(file));
        let rest = of_file.and_then(|rest| rest.strip_prefix(SCRATCH));
        let end = rest.map(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        if let (Some(rest), Some("" | ".partial" | ".partial.etag")) = (rest, end)
            && rest.starts_with(|digit: char| digit.is_ascii_digit())
        {
            let _kept = std::fs::remove_file(entry.path());
        }
    }
}

/// The work that blocks.
struct Apply {
    base: PathBuf,
    delta: PathBuf,
    folder: PathBuf,
    name: String,
    size: u64,
    digest: Digest,
    bar: ProgressBar,
}

impl Apply {
    /// Makes the file. Returns the reason if base and delta do not make it.
    fn run(self) -> Result<Option<String>, Failure> {
        let part = partial::Assembled::open(&self.folder, &self.name, self.size)?;
        let made = self.apply(part.file());
        let reason = match made {
            Ok(()) => None,
            Err(delta::Error::Io { action: delta::Action::Write, source, .. }) => {
                return Err(Failure::local("write", &part.path(), &source));
            }
            Err(error) => Some(error.to_string()),
        };
        if reason.is_none() {
            let path = part.finish()?;
            verified::write_note(&path, &self.digest);
        }
        remove_deltas(&self.folder, &self.name);
        Ok(reason)
    }

    fn apply(&self, to: &File) -> Result<(), delta::Error> {
        let open = |path: &Path, place: delta::Place| {
            let opened = file_system::open_named(path).and_then(|file| {
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            opened.map_err(|source| delta::Error::Io {
                action: delta::Action::Read,
                file: place,
                source,
            })
        };
        let (base, base_size) = open(&self.base, delta::Place::Base)?;
        let (file, size) = open(&self.delta, delta::Place::Delta)?;
        let delta = Delta::open(&file, size, &mut Unpaced)?;
        let result = delta.header().result;
        if (result.size, result.digest) != (self.size, self.digest) {
            return Err(delta::Error::Result);
        }
        let mut pace = |progress: delta::Progress| {
            self.bar.set_position(progress.done);
            Next::GoOn
        };
        delta::apply(&base, base_size, &delta, to, &mut pace).map(drop)
    }
}
