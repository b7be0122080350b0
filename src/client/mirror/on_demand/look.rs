//! The looks of a mirror: the newest metadata, what has left the tree, and what nobody uses any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use reqwest::StatusCode;

use super::left::{Left, Record, now};
use super::moment::Moment;
use super::problem::Problem;
use super::site::Site;
use crate::client::error::Failure;
use crate::client::mirror::manifest::channel_of;
use crate::client::mirror::told::Told;
use crate::client::trust::copy::{MetadataCopy, path_of, write_durably};
use crate::client::trust::picture::{Need, Picture};
use crate::model::Digest;
use crate::trust::Target;
use crate::trust::role::{FOLDER, FileName};

/// The time for which metadata stays that was replaced, as a depot keeps it.
const METADATA_GRACE: Duration = Duration::from_hours(1);

/// The time limit of a question about a file that has left.
const LIMIT: Duration = Duration::from_secs(20);

/// The number of such questions at once.
const AT_ONCE: usize = 16;

/// The mirror's side that looks.
#[derive(Debug)]
pub struct Looks {
    pub metadata: MetadataCopy,
    pub record: Record,
    pub picture: Option<Arc<Picture>>,
    /// The files of the metadata that were replaced, and when.
    pub replaced: BTreeMap<FileName, Instant>,
}

/// Says whether a target is a channel's document. All that the tree has belong to a mirror on demand.
pub fn need(path: &str, target: &Target) -> Option<Need> {
    channel_of(path, target).map(|_| Need::IfThere)
}

impl Looks {
    /// Looks once. Returns true if the tree has changed.
    pub async fn look(&mut self, site: &Site, told: &Told) -> Result<bool, Failure> {
        let seen = self.metadata.look(self.picture.as_deref(), need).await?;
        let is_new = seen.is_some();
        if let Some(picture) = seen {
            self.take(Arc::new(picture))?;
            self.serve(site, told)?;
        }
        if self.ask_for_left(site).await? {
            self.serve(site, told)?;
        }
        self.remove_replaced();
        site.library.sweep();
        Ok(is_new)
    }

    /// Takes a new picture: notes what has left, and makes the picture the one that is found after a restart.
    fn take(&mut self, picture: Arc<Picture>) -> Result<(), Failure> {
        if let Some(before) = self.picture.clone() {
            let at = Instant::now();
            let old = before.files().iter().filter(|file| !picture.files().contains(file));
            self.replaced.extend(old.map(|file| (*file, at)));
            let since = now();
            let left: Vec<_> = before
                .targets()
                .filter(|(path, target)| {
                    need(path, target).is_none() && picture.target(path).is_none()
                })
                .filter_map(|(path, target)| {
                    let digest = target.digest()?;
                    Some((path, Left { size: target.length, digest, since, status: None }))
                })
                .collect();
            self.record.change(|record| {
                record.extend(left);
                record.retain(|path, _| picture.target(path).is_none());
            })?;
        }
        let place = self.metadata.fetched(&path_of(FileName::Timestamp));
        write_durably(&place, picture.timestamp())
            .map_err(|error| Failure::local("write", &place, &error))?;
        self.metadata.forget_documents_but(&picture);
        self.picture = Some(picture);
        Ok(())
    }

    /// Has the server answer from what is known now.
    pub fn serve(&self, site: &Site, told: &Told) -> Result<(), Failure> {
        let Some(picture) = &self.picture else { return Ok(()) };
        let replaced = self.replaced.keys().copied().collect();
        let moment = Moment::new(Arc::clone(picture), replaced, self.record.left().clone())?;
        told.change(|state| {
            let channels = moment.channels();
            state.channels =
                channels.map(|channel| (channel.name.clone(), channel.sequence)).collect();
        });
        site.set(moment);
        Ok(())
    }

    /// Asks upstream for what has left and was still there. Returns true if some of it is gone by now; its bytes are
    /// deleted.
    async fn ask_for_left(&mut self, site: &Site) -> Result<bool, Failure> {
        let asked = self.record.left().iter().filter(|(_, left)| left.status.is_none());
        let asked: Vec<String> = asked.map(|(path, _)| path.clone()).collect();
        let asked = asked.into_iter().map(|path| async move {
            let status = site.source.status(&path, LIMIT).await;
            status.map(|status| (path, status))
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut gone = BTreeMap::new();
        // When nobody answers, it goes on with what it has, and asks again at the next look.
        while let Some(Ok((path, status))) = answers.next().await {
            if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                gone.insert(path, status.as_u16());
            }
        }
        if gone.is_empty() {
            return Ok(false);
        }
        // Before it is recorded: what is recorded is not asked for again.
        let needed = self.needed_without(&gone);
        for (path, status) in &gone {
            let left = self.record.left().get(path);
            if let Some(left) = left.filter(|left| !needed.contains(&left.digest)) {
                site.library.remove(left.digest, &Problem::gone(*status));
            }
        }
        self.record.change(|record| {
            for (path, status) in &gone {
                if let Some(left) = record.get_mut(path) {
                    left.status = Some(*status);
                }
            }
        })?;
        Ok(true)
    }

    /// Returns the digests of the files that are still offered when these are gone.
    fn needed_without(&self, gone: &BTreeMap<String, u16>) -> BTreeSet<Digest> {
        let targets = self.picture.iter().flat_map(|picture| picture.targets());
        let targets = targets.filter_map(|(_, target)| target.digest());
        let left = self.record.left().iter();
        let left = left.filter(|(path, left)| left.status.is_none() && !gone.contains_key(*path));
        targets.chain(left.map(|(_, left)| left.digest)).collect()
    }

    fn remove_replaced(&mut self) {
        let metadata = &self.metadata;
        self.replaced.retain(|file, at| {
            let stays = at.elapsed() < METADATA_GRACE;
            if !stays {
                // What cannot be removed is found again at the next start.
                let _left = fs::remove_file(metadata.fetched(&path_of(*file)));
            }
            stays
        });
    }

    /// Finds the files that an earlier process has not removed any more.
    pub fn find_replaced(&mut self) {
        let entries = fs::read_dir(self.metadata.fetched(FOLDER)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let current = self.picture.as_ref().map_or(&[][..], |picture| picture.files());
        let at = Instant::now();
        self.replaced = names
            .filter(|name| *name != FileName::Timestamp && !current.contains(name))
            .map(|name| (name, at))
            .collect();
    }
}
