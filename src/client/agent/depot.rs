//! The depot as the agent uses it: for the question what to have, for the files, and for the reports.
//!
//! There is a server to ask, or a tree alone, such as a mirror's. With a root of trust, what a server offers has to be in
//! its signed tree as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::by_tree::{Question, Verdict, Wanted, decide, without_entry};
use super::link::{Link, Peer};
use super::record::Report;
use crate::client::bandwidth::Line;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::progress::Progress;
use crate::client::pull::cheapest::Place;
use crate::client::pull::download::{ExistingFiles, is_complete};
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::pull;
use crate::client::pull::update_check::{Answer, Asked, REVOKED, ask};
use crate::client::trust::channel::{Image, manifest, offer_of};
use crate::client::trust::tree::{SignedTree, TreePlace};
use crate::model::{ChannelName, ClientGroup, ClientId};
use crate::rollout::slot::seconds_until_slot;

/// The time within which a depot signs what it offers, and until it is looked at again.
const SIGNED_WITHIN: Duration = Duration::from_secs(4);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A depot, and this machine as it is known there.
#[derive(Debug, Clone)]
pub struct Depot {
    pub link: Link,
    pub client: Option<ClientId>,
    pub group: Option<ClientGroup>,
    /// The time between two looks at a tree. A server says itself when it is to be asked again.
    pub period: Duration,
    pub line: Line,
    /// Held by whoever reads the signed metadata.
    pub reading: Arc<Mutex<()>>,
    pub progress: Progress,
}

/// The revision that the machine has of an image.
#[derive(Debug, Clone, Copy)]
pub struct Current {
    pub revision: Option<u64>,
    /// The epoch of the assignment by which it came to this revision.
    pub epoch: Option<u64>,
}

impl Depot {
    /// Asks what this machine is to do.
    pub async fn ask(
        &self,
        image: &str,
        channel: &ChannelName,
        current: Current,
    ) -> Result<Answer, Failure> {
        match &self.link.peer {
            Peer::Server(connection, signed) => {
                let (client, group) = (self.client.as_ref(), self.group.as_ref());
                let group = group.map(ClientGroup::as_str);
                let asked = Asked { image, channel: channel.as_str(), client, group };
                let answer = ask(connection, asked, current.revision).await?;
                if let (Some(place), Some(plan)) = (signed, &answer.target) {
                    self.must_be_signed(place, plan, image, channel).await?;
                }
                Ok(answer)
            }
            Peer::Tree(place) => {
                let mut tree = self.read(place).await?;
                let manifest = manifest(&mut tree, channel).await?;
                let folder = manifest.folder.clone();
                self.answer_of(&mut tree, &folder, manifest.image(image), current).await
            }
        }
    }

    /// Makes sure that what a server offers is signed. It offers a new revision a moment before that.
    async fn must_be_signed(
        &self,
        place: &TreePlace,
        plan: &FetchPlan,
        image: &str,
        channel: &ChannelName,
    ) -> Result<(), Failure> {
        let until = Instant::now() + SIGNED_WITHIN;
        loop {
            let mut tree = self.read(place).await?;
            match must_be_signed(&mut tree, plan, image, channel).await {
                Err(failure) if failure.exit() == Exit::Verification && Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                signed => return signed,
            }
        }
    }

    /// Reads the tree's metadata, one image after the other: they share the record of what was seen.
    async fn read(&self, place: &TreePlace) -> Result<SignedTree, Failure> {
        let _turn = self.reading.lock().await;
        place.read().await
    }

    async fn answer_of(
        &self,
        tree: &mut SignedTree,
        folder: &str,
        entry: Option<Image>,
        current: Current,
    ) -> Result<Answer, Failure> {
        let now = DateTime::<Utc>::from(SystemTime::now());
        let check_after_seconds = self.client.as_ref().map_or(self.period.as_secs(), |client| {
            seconds_until_slot(client, self.period.as_secs(), now)
        });
        let Some(image) = entry else {
            let Verdict { action, reason, .. } = without_entry(current.revision);
            return Ok(Answer::without_target(action, reason.to_owned(), check_after_seconds));
        };
        let question = Question {
            current: current.revision,
            current_epoch: current.epoch,
            client: self.client.as_ref(),
            group: self.group.as_ref(),
            now,
        };
        let Verdict { action, reason, wanted } =
            decide(&image, image.rollout()?.as_ref(), question);
        let is_urgent = image.mandatory
            || image.deadline.is_some_and(|deadline| deadline <= now)
            || reason == REVOKED;
        let epoch = image.epoch;
        let files = match (wanted, image.previous) {
            (None, _) => None,
            (Some(Wanted::Previous), Some(previous)) => Some((previous.revision, previous.files)),
            (Some(_), _) => Some((image.revision, image.files)),
        };
        let target = match files {
            None => None,
            Some((revision, files)) => {
                let offer = offer_of(tree, folder, image.image, revision, files).await?;
                Some(FetchPlan::of_tree(tree, offer)?)
            }
        };
        let answer = Answer::without_target(action, reason.to_owned(), check_after_seconds);
        Ok(Answer { epoch, is_urgent, target, ..answer })
    }

    /// Fetches the files into a folder, with whatever others have of them. Returns the bytes that came over the network.
    pub async fn fetch(
        &self,
        plan: &FetchPlan,
        is_urgent: bool,
        folder: &Path,
        others: &[PathBuf],
    ) -> Result<u64, Failure> {
        let place = Place {
            folder,
            revision: plan.revision,
            other_folders: others,
            named_seeds: &[],
            existing: ExistingFiles::TrustNote,
        };
        let connection = self.link.connection().on_line(self.line.for_urgent(is_urgent));
        Ok(pull(&connection, plan, place, &self.progress).await?.sum.fetched)
    }

    /// Fails outside of the hours for fetching.
    pub fn may_fetch(&self, is_urgent: bool) -> Result<(), Failure> {
        self.line.for_urgent(is_urgent).must_be_open()
    }

    /// Reports whether a folder has all files, intact.
    pub async fn is_whole(&self, plan: &FetchPlan, folder: &Path) -> Result<bool, Failure> {
        for file in &plan.files {
            let bar = self.progress.file(&file.name, file.size);
            if !is_complete(file, folder, ExistingFiles::TrustNote, &bar).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a report. A machine without an id has nobody to report as, and a tree takes no reports.
    pub async fn report(&self, report: &Report) -> Result<(), Failure> {
        let (Peer::Server(connection, _), Some(client)) = (&self.link.peer, &self.client) else {
            return Ok(());
        };
        let url = connection.api(&["clients", client.as_str(), "reports"])?;
        let document =
            serde_json::to_value(report).map_err(|error| Failure::unreadable("report", error))?;
        connection.post(url, Some(&document)).await.map(drop)
    }

    pub fn note(&self, sentence: &str) {
        self.progress.note(sentence);
    }
}

/// Compares what a server offers with what was signed of the same files: their bytes, and that they are this revision of
/// this image in this channel.
async fn must_be_signed(
    tree: &mut SignedTree,
    plan: &FetchPlan,
    image: &str,
    channel: &ChannelName,
) -> Result<(), Failure> {
    for file in &plan.files {
        let said = [
            ("image", json!(image.to_ascii_lowercase())),
            ("revision", json!(plan.revision)),
            ("role", json!(file.role)),
            ("channel", json!(channel.key())),
        ];
        let path = tree.path_of(&file.url);
        let target = match &path {
            Some(path) => tree.target(path).await?,
            None => None,
        };
        let is_signed = target.is_some_and(|target| {
            let custom = target.custom.clone().unwrap_or_default();
            let is = |(name, said): &(&str, Value)| match custom[*name].as_str() {
                Some(text) => json!(text.to_ascii_lowercase()) == *said,
                None => custom[*name] == *said,
            };
            (target.length, target.digest()) == (file.size, Some(file.digest))
                && said.iter().all(is)
        });
        if !is_signed {
            let words = format!("{} is not what was signed by the depot that is trusted", file.url);
            return Err(Failure::new(Exit::Verification, words));
        }
    }
    Ok(())
}
