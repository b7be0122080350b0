//! The images that the agent keeps up to date, and how.
//!
//! `file` reads them from a file of its own (TOML); without one, the command line names them.

mod file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::RunAfter;
use crate::client::bandwidth::Bandwidth;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The number of revisions that are kept beside the one in use.
const KEPT: usize = 1;

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
    pub images: Vec<Image>,
}

/// An image to keep up to date.
#[derive(Debug)]
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
    /// Reads the file. The server and the credentials that it names are added to `server` where no flag says otherwise.
    pub fn read(path: &Path, server: &mut ServerArgs) -> Result<Self, Failure> {
        let settings = file::read(path, server)?;
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        settings.check().map_err(wrong)?;
        Ok(settings)
    }

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
        let folders = self.images.iter().map(|image| image.folder.display().to_string());
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::client::bandwidth::LineShare;

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
    fn a_file_limits_what_is_taken_of_the_line() {
        let (settings, _) = read(
            "to = \"/i\"\ntree = \"http://mirror/MEDVImages\"\ntrust = \"/etc/root.json\"\ncheck_every = \"5min\"\n\
             [bandwidth]\nrate = \"2 MB\"\nshare = 30\nhours = [{ days = [\"sat\"], from = \"20:00\", to = \"06:00\" }]\n\
             [[image]]\nname = \"linux\"\nfolder = \"/srv/linux\"\n[[image]]\nname = \"win7\"\n",
        )
        .unwrap();
        let limits = settings.bandwidth;
        assert_eq!(limits.rate.map(std::num::NonZeroU64::get), Some(2_000_000));
        assert_eq!((limits.share, limits.hours.len()), (LineShare::percent(30), 1));
        assert_eq!(settings.period, Duration::from_mins(5));
        let folders: Vec<_> = settings.images.iter().map(|image| image.folder.as_path()).collect();
        assert_eq!(folders, [Path::new("/srv/linux"), Path::new("/i/win7")]);
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "to = \"/i\"\n[[image]]\nname = \"a\"\n").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let refused = Settings::read(file.path(), &mut ServerArgs::default()).unwrap_err();
        assert!(refused.to_string().contains("chmod go-w"), "{refused}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, said) in [
            ("to = \"/i\"\n", "names no image"),
            ("to = \"/i\"\n[[image]]\nname = \"a\"\n[[image]]\nname = \"A\"\n", "twice"),
            ("to = \"/i\"\n[[image]]\nname = \"..\"\n", "name"),
            ("to = \"/i\"\nbandwith = 1\n", "bandwith"),
            ("tree = \"http://t/\"\nto = \"/i\"\n[[image]]\nname = \"a\"\n", "root of trust"),
            (
                "[[image]]\nname = \"a\"\nfolder = \"/i\"\n[[image]]\nname = \"b\"\nfolder = \"/i\"\n",
                "/i",
            ),
            ("to = \"/i\"\n[bandwidth]\nshare = 100\n", "1 to 99"),
            ("to = \"/i\"\n[bandwidth]\nrate = \"fast\"\n", "rate"),
            ("to = \"/i\"\ncheck_every = \"1s\"\n", "check_every"),
            ("to = \"/i\"\n[bandwidth]\nhours = [{ from = \"1:00\", to = \"05:00\" }]\n", "HH:MM"),
            (
                "to = \"/i\"\n[bandwidth]\nhours = [{ from = \"01:00\", to = \"05:00\", zone = \"X/Y\" }]\n",
                "hours",
            ),
            ("to = \"/i\"\n[[image]]\nname = \"a\"\nrun_time_limit = \"soon\"\n", "run_time_limit"),
            ("[[image]]\nname = \"a\"\n", "folder"),
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.exit(), crate::client::Exit::Usage);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
}
