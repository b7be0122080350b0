//! One look of a static copy: what changed in the tree is fetched, verified and given its name, in an order in which no
//! reader meets a name without its file.
//!
//! Files come first (an index after everything else of its image), then the metadata with versions in its names, the
//! documents of the channels, the roots, and the timestamp as the last. What is not named any more leaves after that
//! (`leaving`). Each step may be cut off: the next look begins with what is there.

use super::fetching::Fetching;
use super::leaving::{self, Named};
use super::manifest::{self, Channel};
use super::record::{Held, Made};
use super::rules::Rules;
use super::served::Served;
use super::told::Told;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::progress::Progress;
use crate::client::pull::download::Fetched;
use crate::client::trust::copy::{MetadataCopy, path_of, write_durably};
use crate::client::trust::picture::{Need, Picture};
use crate::client::trust::source::largest;
use crate::model::ChannelName;
use crate::trust::Target;
use crate::trust::role::{FOLDER, FileName, RoleName};

/// A static copy of some channels of a tree.
#[derive(Debug)]
pub struct Copying {
    pub metadata: MetadataCopy,
    pub served: Served,
    pub held: Held,
    pub rules: Rules,
    pub progress: Progress,
    /// The picture that is served, after the first look.
    pub picture: Option<Picture>,
}

/// The outcome of a look.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Set if anything was fetched or removed.
    pub changed: bool,
    pub fetched: Fetched,
    pub removed: usize,
}

impl Copying {
    /// Looks once, and does what is to be done.
    pub async fn look(&mut self, told: &Told) -> Result<Outcome, Failure> {
        let wanted = |path: &str, target: &Target| need(&self.rules.channels, path, target);
        let seen = self.metadata.look(self.picture.as_ref(), wanted).await?;
        let mut outcome = Outcome::default();
        let taken = match seen {
            Some(picture) => self.take(picture, told, &mut outcome).await,
            None => Ok(()),
        };
        let connection = &self.metadata.source;
        let gone = leaving::gone_upstream(connection, &self.held).await;
        outcome.removed += leaving::remove_due(&mut self.held, &self.served, &self.rules, &gone)?;
        outcome.changed |= outcome.removed > 0;
        told.change(|state| state.bytes = self.bytes());
        // What is to leave does not wait for what cannot come, perhaps for want of room.
        taken?;
        Ok(outcome)
    }

    /// Returns the time until which readers believe the copy; none if there is no whole copy yet.
    pub async fn believed_until(&self) -> Option<crate::trust::Moment> {
        if let Some(picture) = &self.picture {
            return Some(picture.expires());
        }
        let wanted = |path: &str, target: &Target| need(&self.rules.channels, path, target);
        let loaded = self.metadata.load(wanted).await.ok()?;
        Some(loaded.expires())
    }

    /// Returns the bytes of the files that the copy has.
    fn bytes(&self) -> u64 {
        self.held.record.files.values().map(|made| made.size).sum()
    }

    async fn take(
        &mut self,
        picture: Picture,
        told: &Told,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let channels = self.channels(&picture)?;
        let named = Named::new(&self.held, &channels, &picture, self.rules.keep);
        let fetching = Fetching {
            source: &self.metadata.source,
            served: &self.served,
            progress: &self.progress,
            told,
        };
        let missing = fetching.missing(&channels).await?;
        told.change(|state| state.bytes_missing = missing);
        if missing > 0 {
            // What was revoked does not wait for what comes, which may take hours.
            outcome.removed += leaving::remove_revoked(&mut self.held, &self.served, &named)?;
            fetching.make_room(&channels, missing)?;
            self.metadata.source.connection.line.must_be_open()?;
        }
        outcome.fetched = fetching.fetch(&channels, &mut self.held).await?;
        self.publish(&picture)?;
        for channel in &channels {
            let known = self.held.record.channels.entry(channel.name.clone()).or_default();
            known.sequence = channel.sequence;
            for image in &channel.images {
                let now: Vec<_> = image.revisions.iter().map(|revision| revision.number).collect();
                known.note(&image.name, &now);
            }
        }
        leaving::mark(&mut self.held, &named);
        self.held.keep()?;
        outcome.removed += leaving::remove_revoked(&mut self.held, &self.served, &named)?;
        self.served.clear_incoming(|_, _| false)?;
        told.change(|state| {
            state.bytes_missing = 0;
            let told = |channel: &Channel| (channel.name.clone(), channel.sequence);
            state.channels = channels.iter().map(told).collect();
        });
        outcome.changed = true;
        self.picture = Some(picture);
        Ok(())
    }

    /// Reads the documents of the channels. An older one than the copy has is refused.
    fn channels(&self, picture: &Picture) -> Result<Vec<Channel>, Failure> {
        let read = |(path, bytes): (&String, &Vec<u8>)| manifest::read(picture, path, bytes);
        let channels: Vec<_> =
            picture.documents().iter().map(read).collect::<Result<_, Failure>>()?;
        for name in &self.rules.channels {
            if !channels.iter().any(|channel| channel.name.eq_ignore_ascii_case(name.as_str())) {
                let words = format!("the tree has no folder of the channel {name}");
                return Err(Failure::new(Exit::NotFound, words));
            }
        }
        for Channel { name, path, sequence, .. } in &channels {
            let seen = self.held.record.channels.get(name).map_or(0, |known| known.sequence);
            if *sequence < seen {
                let words =
                    format!("{path} is older than the copy has (sequence {sequence} after {seen})");
                return Err(Failure::new(Exit::Verification, words));
            }
        }
        Ok(channels)
    }

    /// Puts the metadata and the documents of a picture in force.
    fn publish(&mut self, picture: &Picture) -> Result<(), Failure> {
        self.served.make_folders(FOLDER)?;
        let is_root = |file: &&FileName| matches!(file, FileName::Versioned(RoleName::Root, _));
        let (roots, others): (Vec<&FileName>, Vec<_>) = picture.files().iter().partition(is_root);
        self.place_metadata(&others)?;
        // From here on, readers who verify need what follows. If this is cut off, the next start finishes it.
        let timestamp = path_of(FileName::Timestamp);
        let begun = self.metadata.fetched(&timestamp);
        write_durably(&begun, picture.timestamp())
            .map_err(|error| Failure::local("write", &begun, &error))?;
        let mut notes = vec![(timestamp.clone(), Made::of_bytes(picture.timestamp()))];
        for (path, bytes) in picture.documents() {
            self.must_be_free(path)?;
            notes.push((path.clone(), Made::of_bytes(bytes)));
        }
        self.must_be_free(&timestamp)?;
        self.held.note(notes)?;
        for (path, bytes) in picture.documents() {
            self.place_bytes(path, bytes)?;
        }
        // Readers follow a new root at once, and with it the timestamp has to be the one that its keys have signed.
        self.place_metadata(&roots)?;
        self.place_bytes(&timestamp, picture.timestamp())
    }

    /// Puts in force what an earlier mirror has begun to, which was killed meanwhile. Its files are all here.
    pub async fn finish_publication(&mut self) -> Result<(), Failure> {
        if !self.metadata.fetched(&path_of(FileName::Timestamp)).exists() {
            return Ok(());
        }
        let wanted = |path: &str, target: &Target| need(&self.rules.channels, path, target);
        let picture = self.metadata.load(wanted).await?;
        self.publish(&picture)
    }

    /// Gives files of the metadata their names, unless they have them.
    fn place_metadata(&mut self, files: &[&FileName]) -> Result<(), Failure> {
        let mut paths = Vec::new();
        for file in files {
            let path = path_of(**file);
            if self.served.incoming().join(&path).exists() {
                let bytes = self.metadata.read(&path, largest(**file));
                let bytes = bytes
                    .map_err(|error| Failure::local("read", &self.served.path(&path), &error))?;
                self.must_be_free(&path)?;
                paths.push((path, Made::of_bytes(&bytes)));
            }
        }
        self.held.note(paths.clone())?;
        let paths: Vec<_> = paths.iter().map(|(path, _)| path.as_str()).collect();
        self.served.place(&paths)
    }

    /// Gives a file that changes its new content, unless it has it.
    fn place_bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let place = self.served.path(path);
        if std::fs::read(&place).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let incoming = self.served.incoming().join(path);
        write_durably(&incoming, bytes)
            .map_err(|error| Failure::local("write", &incoming, &error))?;
        self.served.place(&[path])
    }

    /// Fails if a file is in the place of one that the mirror is to make.
    fn must_be_free(&self, path: &str) -> Result<(), Failure> {
        super::fetching::must_be_free(&self.held, &self.served, path)
    }
}

/// Says whether a target is the document of one of the channels, which belongs to the copy.
fn need(channels: &[ChannelName], path: &str, target: &Target) -> Option<Need> {
    let name = manifest::channel_of(path, target)?;
    let is_wanted = channels.iter().any(|channel| channel.as_str().eq_ignore_ascii_case(name));
    is_wanted.then_some(Need::Must)
}
