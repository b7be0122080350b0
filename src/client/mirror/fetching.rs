//! Fetching the files of the channels into the copy, each in the way that takes the fewest bytes.

use std::fs;
use std::io;
use std::path::Path;

use indicatif::ProgressBar;

use super::manifest::{Channel, File, Image, Listed};
use super::record::{Held, Made, OfRevision};
use super::served::Served;
use super::told::Told;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::progress::Progress;
use crate::client::pull::by_delta::name_of_delta;
use crate::client::pull::cheapest::{self, Place};
use crate::client::pull::download::{ExistingFiles, Fetched, is_complete};
use crate::client::pull::fetch_plan::{PlannedDelta, PlannedFile};
use crate::client::trust::copy::DOCUMENTS;
use crate::client::trust::source::Source;
use crate::trust::role::FOLDER;

/// The role of a file that comes last of its image.
const INDEX: &str = "index";

/// The tree that is copied, and the folder of the copy.
pub struct Fetching<'a> {
    pub source: &'a Source,
    pub served: &'a Served,
    pub progress: &'a Progress,
    pub told: &'a Told,
}

impl Fetching<'_> {
    /// Returns the bytes of the files that the copy lacks.
    pub async fn missing(&self, channels: &[Channel]) -> Result<u64, Failure> {
        let mut missing = 0;
        for (_, file) in files(channels) {
            if !self.is_served(file).await? {
                missing += file.size;
            }
        }
        Ok(missing)
    }

    /// Makes the folders, removes what was fetched of others, and asks for the room before the first byte.
    pub fn make_room(&self, channels: &[Channel], missing: u64) -> Result<(), Failure> {
        for channel in channels {
            self.served.make_folders(folder_of(channel))?;
        }
        let begins = |folder: &str, name: &str| {
            files(channels).any(|(_, file)| {
                let (its_folder, its_name) = file.place();
                folder == its_folder && name.starts_with(its_name)
            })
        };
        let is_metadata = |folder: &str| [FOLDER, DOCUMENTS].contains(&folder);
        self.served.clear_incoming(|folder, name| is_metadata(folder) || begins(folder, name))?;
        let arrived: u64 =
            files(channels).map(|(_, file)| self.served.arrived(&file.path).min(file.size)).sum();
        self.served.must_have_room(missing.saturating_sub(arrived))
    }

    /// Fetches what the copy lacks, image by image, and gives it its names: an index after everything else.
    pub async fn fetch(&self, channels: &[Channel], held: &mut Held) -> Result<Fetched, Failure> {
        let mut sum = Fetched::default();
        for channel in channels {
            self.served.make_folders(folder_of(channel))?;
            for image in &channel.images {
                let fetched = self.image(channels, channel, image, held).await?;
                sum.fetched += fetched.fetched;
                sum.reused += fetched.reused;
            }
        }
        Ok(sum)
    }

    async fn image(
        &self,
        channels: &[Channel],
        channel: &Channel,
        image: &Image,
        held: &mut Held,
    ) -> Result<Fetched, Failure> {
        let mut sum = Fetched::default();
        for revision in &image.revisions {
            let all = || revision.files.iter();
            // The small files first: the large ones are made with them.
            let small = all().flat_map(|file| file.all().skip(1));
            let mut wanted: Vec<(&Listed, Option<&File>)> =
                small.map(|file| (file, None)).collect();
            wanted.extend(all().map(|file| (&file.itself, Some(file))));
            let mut notes = Vec::new();
            for (file, with) in wanted {
                if self.is_served(file).await? {
                    continue;
                }
                must_be_free(held, self.served, &file.path)?;
                let fetched = self.file(channels, file, with, revision.number, held).await;
                let fetched = fetched.map_err(|failure| failure.while_doing(&file.path))?;
                sum.fetched += fetched.fetched;
                sum.reused += fetched.reused;
                self.told.change(|state| {
                    state.bytes_missing = state.bytes_missing.saturating_sub(file.size);
                });
                let of = OfRevision {
                    channel: channel.name.clone(),
                    image: image.name.clone(),
                    revision: revision.number,
                };
                let made = Made { of: Some(of), ..Made::new(file.size, file.digest) };
                notes.push((file.path.clone(), made));
            }
            held.note(notes)?;
            let of_role = |is_index: bool| {
                all().filter(move |file| (file.role == INDEX) == is_index).map(|file| &file.itself)
            };
            let beside = all().flat_map(|file| file.all().skip(1));
            let order = of_role(false).chain(beside).chain(of_role(true));
            let order: Vec<_> = order.map(|file| file.path.as_str()).collect();
            self.served.place(&order)?;
        }
        Ok(sum)
    }

    /// Fetches one file into the folder of what is on its way.
    async fn file(
        &self,
        channels: &[Channel],
        file: &Listed,
        with: Option<&File>,
        revision: u64,
        held: &Held,
    ) -> Result<Fetched, Failure> {
        let (folder, name) = file.place();
        let incoming = self.served.incoming().join(folder);
        if self.is_elsewhere(file, held).await? {
            return Ok(Fetched { fetched: 0, reused: file.size });
        }
        let mut planned = self.planned(file)?;
        if let Some(with) = with {
            planned.role.clone_from(&with.role);
            planned.chunks =
                with.chunks.as_ref().map(|list| self.source.url(&list.path)).transpose()?;
            for (from, delta) in &with.deltas {
                let url = self.source.url(&delta.path)?;
                let (size, digest) = (delta.size, delta.digest);
                planned.deltas.push(PlannedDelta { from: *from, url, size, digest });
                // It is here already, and need not be fetched for this once more.
                self.lend(&delta.path, &incoming.join(name_of_delta(name, *from)));
            }
        }
        let folders: Vec<_> =
            channels.iter().map(|channel| self.served.path(folder_of(channel))).collect();
        let place = Place {
            folder: &incoming,
            revision,
            other_folders: &folders,
            named_seeds: &[],
            existing: ExistingFiles::TrustNote,
        };
        let connection = &self.source.connection;
        Ok(cheapest::fetch(connection, &planned, place, self.progress).await?.0)
    }

    /// Puts a file under a second name, for which it is verified as if it had been fetched. If that is not possible, it
    /// is fetched.
    fn lend(&self, path: &str, to: &Path) {
        let there = [self.served.incoming().join(path), self.served.path(path)];
        let from = there.iter().find(|place| place.is_file());
        let _fetched_instead = from.map(|from| link_or_copy(from, to));
    }

    /// Takes a file that another channel of the copy has.
    async fn is_elsewhere(&self, file: &Listed, held: &Held) -> Result<bool, Failure> {
        let same = |(path, made): (&String, &Made)| {
            (made.digest == file.digest && made.size == file.size && *path != file.path)
                .then(|| Listed { path: path.clone(), ..file.clone() })
        };
        for other in held.record.files.iter().filter_map(same) {
            if !self.is_served(&other).await? {
                continue;
            }
            let to = self.served.incoming().join(&file.path);
            match link_or_copy(&self.served.path(&other.path), &to) {
                Ok(()) => return self.is_right(file, &self.served.incoming()).await,
                Err(error) => return Err(Failure::local("write", &to, &error)),
            }
        }
        Ok(false)
    }

    async fn is_served(&self, file: &Listed) -> Result<bool, Failure> {
        self.is_right(file, self.served.root()).await
    }

    async fn is_right(&self, file: &Listed, root: &Path) -> Result<bool, Failure> {
        let folder = root.join(file.place().0);
        let planned = self.planned(file)?;
        is_complete(&planned, &folder, ExistingFiles::TrustNote, &ProgressBar::hidden()).await
    }

    fn planned(&self, file: &Listed) -> Result<PlannedFile, Failure> {
        let (url, name) = (self.source.url(&file.path)?, file.place().1.to_owned());
        Ok(PlannedFile::whole(String::new(), name, url, file.size, file.digest))
    }
}

/// Fails if somebody else's file has the name of one that the mirror is to make.
pub fn must_be_free(held: &Held, served: &Served, path: &str) -> Result<(), Failure> {
    let place = served.path(path);
    if held.record.files.contains_key(path) || fs::symlink_metadata(&place).is_err() {
        return Ok(());
    }
    let words = format!("{} is not the mirror's: move it away", place.display());
    Err(Failure::new(Exit::Conflict, words))
}

fn files(channels: &[Channel]) -> impl Iterator<Item = (u64, &Listed)> {
    channels.iter().flat_map(|channel| channel.images.iter().flat_map(Image::files))
}

/// Returns the folder of a channel; empty for the root.
fn folder_of(channel: &Channel) -> &str {
    channel.path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}
