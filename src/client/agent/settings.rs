//! The images that the agent keeps up to date, and how: from the command line, or from a file of its own (TOML).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::command::RunAfter;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::file_system;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The largest accepted settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The number of revisions that are kept beside the one in use.
const KEPT: usize = 1;

/// The time limit of a command.
const TIME_LIMIT: Duration = Duration::from_mins(10);

const LONGEST_LIMIT: Duration = Duration::from_hours(24);

/// The settings of an agent.
#[derive(Debug)]
pub struct Settings {
    pub client: Option<ClientId>,
    pub group: Option<ClientGroup>,
    /// The folder of all images.
    pub folder: PathBuf,
    pub images: Vec<Image>,
}

/// An image to keep up to date.
#[derive(Debug)]
pub struct Image {
    pub name: ImageName,
    pub channel: ChannelName,
    /// The number of older revisions that stay.
    pub keep: usize,
    pub run_after: Option<RunAfter>,
    pub if_it_fails: IfItFails,
}

/// The consequence of a command that fails. The failure is reported in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfItFails {
    /// The new revision stays in use.
    #[default]
    Keep,
    /// The revision before is used again, and the new one is left alone until the assignment changes.
    GoBack,
}

/// The file. Its names are part of the interface.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    client: Option<ClientId>,
    group: Option<ClientGroup>,
    to: PathBuf,
    #[serde(default)]
    image: Vec<ImageTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageTable {
    name: ImageName,
    channel: Option<ChannelName>,
    #[serde(default = "kept")]
    keep: usize,
    #[serde(default)]
    run_after: Vec<String>,
    /// A duration such as `10min`.
    run_time_limit: Option<String>,
    #[serde(default)]
    if_it_fails: IfItFails,
}

const fn kept() -> usize {
    KEPT
}

impl Image {
    /// An image with nothing set.
    pub const fn plain(name: ImageName, channel: ChannelName) -> Self {
        Self { name, channel, keep: KEPT, run_after: None, if_it_fails: IfItFails::Keep }
    }
}

impl Settings {
    /// Reads the file. The server and the credentials that it names are added to `server` where no flag says otherwise.
    pub fn read(path: &Path, server: &mut ServerArgs) -> Result<Self, Failure> {
        let bytes = file_system::read(path, LARGEST)
            .map_err(|error| Failure::local("read", path, &error))?;
        let wrong =
            |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
        let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
        let file: File = toml::from_str(&text).map_err(|error| wrong(&error))?;
        let settings = file.settings(server).map_err(|why| wrong(&why))?;
        settings.check().map_err(|why| wrong(&why))?;
        Ok(settings)
    }

    /// Checks that each image is there once, as one folder belongs to one of them.
    pub fn check(&self) -> Result<(), String> {
        if self.images.is_empty() {
            return Err("it names no image".to_owned());
        }
        let mut names: Vec<_> =
            self.images.iter().map(|image| image.name.as_str().to_ascii_lowercase()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("the image {} is there twice", pair[0])),
            None => Ok(()),
        }
    }
}

impl File {
    fn settings(self, server: &mut ServerArgs) -> Result<Settings, String> {
        if !server.have_credentials() {
            server.user = self.user;
            server.password_file = self.password_file;
            server.token_file = self.token_file;
            server.client_certificate = self.client_certificate;
            server.client_key = self.client_key;
        }
        server.server = server.server.take().or(self.server);
        server.ca = server.ca.take().or(self.ca);
        let images = self.image.into_iter().map(ImageTable::image).collect::<Result<_, _>>()?;
        Ok(Settings { client: self.client, group: self.group, folder: self.to, images })
    }
}

impl ImageTable {
    fn image(self) -> Result<Image, String> {
        let limit = match self.run_time_limit.as_deref().map(humantime::parse_duration) {
            None => TIME_LIMIT,
            Some(Ok(limit)) if limit.is_zero() || limit > LONGEST_LIMIT => {
                return Err("run_time_limit must be above 0 and at most a day".to_owned());
            }
            Some(Ok(limit)) => limit,
            Some(Err(error)) => return Err(format!("run_time_limit: {error}")),
        };
        Ok(Image {
            name: self.name,
            channel: self.channel.unwrap_or_else(ChannelName::production),
            keep: self.keep,
            run_after: RunAfter::new(self.run_after, limit),
            if_it_fails: self.if_it_fails,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Settings, ServerArgs), Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut server = ServerArgs::default();
        Ok((Settings::read(file.path(), &mut server)?, server))
    }

    #[test]
    fn a_file_names_the_server_and_the_images() {
        let (settings, server) = read(
            "server = \"https://depot.example\"\nto = \"/var/lib/images\"\ngroup = \"pilot\"\n\
             [[image]]\nname = \"win7-office\"\nrun_after = [\"/usr/local/bin/switch\", \"now\"]\n\
             run_time_limit = \"90s\"\nif_it_fails = \"go_back\"\n[[image]]\nname = \"linux\"\nchannel = \"test\"\n",
        )
        .unwrap();
        assert_eq!(server.server.as_deref(), Some("https://depot.example"));
        let [office, linux] = settings.images.as_slice() else { panic!("{settings:?}") };
        assert_eq!((office.channel.as_str(), office.keep), ("production", 1));
        assert_eq!(office.if_it_fails, IfItFails::GoBack);
        let words = ["/usr/local/bin/switch", "now"].map(str::to_owned).to_vec();
        assert_eq!(office.run_after, RunAfter::new(words, Duration::from_secs(90)));
        assert_eq!((linux.channel.as_str(), &linux.run_after), ("test", &None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, said) in [
            ("to = \"/i\"\n", "names no image"),
            ("to = \"/i\"\n[[image]]\nname = \"a\"\n[[image]]\nname = \"A\"\n", "twice"),
            ("to = \"/i\"\n[[image]]\nname = \"..\"\n", "name"),
            ("to = \"/i\"\nbandwith = 1\n", "bandwith"),
            ("to = \"/i\"\n[[image]]\nname = \"a\"\nrun_time_limit = \"soon\"\n", "run_time_limit"),
            ("[[image]]\nname = \"a\"\n", "to"),
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.exit(), crate::client::Exit::Usage);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
}
