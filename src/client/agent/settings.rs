//! The images that the agent keeps up to date, and how. They come from the command line, or from a file of their own
//! (`settings_file`).

use std::path::PathBuf;
use std::time::Duration;

use super::command::RunAfter;
use crate::client::bandwidth::Bandwidth;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The number of revisions that are kept beside the one in use.
pub const KEPT: usize = 1;

/// The name of the record of what was seen of a signed tree, in the folder of all images.
pub const TRUST_STATE: &str = ".trust";

/// The time between two looks at a tree, as a server's slots have it.
pub const PERIOD: Duration = Duration::from_mins(15);

/// The settings of an agent.
#[derive(Debug)]
pub struct Settings {
    /// The tree to read instead of asking a server.
    pub tree: Option<String>,
    /// The root of trust.
    pub trust: Option<PathBuf>,
    pub client: Option<ClientId>,
    pub group: Option<ClientGroup>,
    pub period: Duration,
    pub bandwidth: Bandwidth,
    /// The folder of the record of what was seen of a signed tree.
    pub trust_state: PathBuf,
    pub images: Vec<Image>,
}

/// An image to keep up to date.
#[derive(Debug, Clone)]
pub struct Image {
    pub name: ImageName,
    pub channel: ChannelName,
    pub folder: PathBuf,
    /// The number of older revisions that stay.
    pub keep: usize,
    pub run_after: Option<RunAfter>,
    pub if_it_fails: IfItFails,
    /// The folder of a MED-V client's store, in which the revision in use lies as well.
    pub prestage_to: Option<PathBuf>,
}

/// The consequence of a command that fails. The failure is reported in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfItFails {
    /// The new revision stays in use.
    #[default]
    Keep,
    /// The revision before is used again, and the new one is left alone until the assignment changes.
    GoBack,
}

impl Image {
    /// An image with nothing set.
    pub const fn plain(name: ImageName, channel: ChannelName, folder: PathBuf) -> Self {
        Self {
            name,
            channel,
            folder,
            keep: KEPT,
            run_after: None,
            if_it_fails: IfItFails::Keep,
            prestage_to: None,
        }
    }
}

impl Settings {
    /// Checks that each image is there once and has a folder of its own, and that a tree has a root of trust.
    pub fn check(&self) -> Result<(), String> {
        if self.images.is_empty() {
            return Err("it names no image".to_owned());
        }
        if self.tree.is_some() && self.trust.is_none() {
            return Err(
                "a tree is believed for its signatures alone: name the root of trust".to_owned()
            );
        }
        let names = self.images.iter().map(|image| image.name.as_str().to_ascii_lowercase());
        if let Some(name) = repeated(names) {
            return Err(format!("the image {name} is there twice"));
        }
        let folder = |image: &Image| image.folder.components().collect::<PathBuf>();
        let folders = self.images.iter().map(|image| folder(image).display().to_string());
        match repeated(folders) {
            Some(folder) => Err(format!("two images have the folder {folder}")),
            None => Ok(()),
        }
    }
}

fn repeated(names: impl Iterator<Item = String>) -> Option<String> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}
