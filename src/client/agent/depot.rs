//! The depot as the agent uses it: for the update check, the files and the reports.

use std::path::{Path, PathBuf};

use super::record::Report;
use crate::client::connection::Connection;
use crate::client::error::Failure;
use crate::client::progress::Progress;
use crate::client::pull::cheapest::Place;
use crate::client::pull::download::{ExistingFiles, is_complete};
use crate::client::pull::fetch_plan::FetchPlan;
use crate::client::pull::pull;
use crate::client::pull::update_check::{Answer, Asked, ask};
use crate::model::{ClientGroup, ClientId};

/// A depot, and this machine as it is known there.
#[derive(Debug)]
pub struct Depot {
    pub connection: Connection,
    pub client: Option<ClientId>,
    pub group: Option<ClientGroup>,
    pub progress: Progress,
}

impl Depot {
    /// Asks what this machine is to do.
    pub async fn ask(
        &self,
        image: &str,
        channel: &str,
        current: Option<u64>,
    ) -> Result<Answer, Failure> {
        let (client, group) = (self.client.as_ref(), self.group.as_ref());
        let asked = Asked { image, channel, client, group: group.map(ClientGroup::as_str) };
        ask(&self.connection, asked, current).await
    }

    /// Fetches the files into a folder, with whatever others have of them. Returns the bytes that came over the network.
    pub async fn fetch(
        &self,
        plan: &FetchPlan,
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
        Ok(pull(&self.connection, plan, place, &self.progress).await?.sum.fetched)
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

    /// Sends a report. A machine without an id has nobody to report as.
    pub async fn report(&self, report: &Report) -> Result<(), Failure> {
        let Some(client) = &self.client else { return Ok(()) };
        let url = self.connection.api(&["clients", client.as_str(), "reports"])?;
        let document =
            serde_json::to_value(report).map_err(|error| Failure::unreadable("report", error))?;
        self.connection.post(url, Some(&document)).await.map(drop)
    }

    pub fn note(&self, sentence: &str) {
        self.progress.note(sentence);
    }
}
