//! The file of an agent's settings (TOML). Its names are part of the interface.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::command::RunAfter;
use super::ours::file_must_be_ours;
use super::settings::{IfItFails, Image, KEPT, PERIOD, Settings, TRUST_STATE};
use crate::client::bandwidth::{self, Bandwidth, Hours, LineShare};
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::file_system;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The largest accepted file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The time limit of a command, if none is set, and the longest one.
const TIME_LIMIT: Duration = Duration::from_mins(10);
const LONGEST_LIMIT: Duration = Duration::from_hours(24);

/// The bounds of the time between two looks at a tree.
const SHORTEST_PERIOD: Duration = Duration::from_secs(30);
const LONGEST_PERIOD: Duration = Duration::from_hours(24);

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
    tree: Option<String>,
    trust: Option<PathBuf>,
    client: Option<ClientId>,
    group: Option<ClientGroup>,
    to: Option<PathBuf>,
    /// A duration such as `15min`.
    check_every: Option<String>,
    #[serde(default)]
    bandwidth: BandwidthTable,
    #[serde(default)]
    image: Vec<ImageTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BandwidthTable {
    /// Bytes in a second, such as `2 MB`.
    rate: Option<String>,
    /// Percent of what the line gives.
    share: Option<u64>,
    #[serde(default)]
    hours: Vec<Hours>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageTable {
    name: ImageName,
    channel: Option<ChannelName>,
    folder: Option<PathBuf>,
    #[serde(default = "kept")]
    keep: usize,
    #[serde(default)]
    run_after: Vec<String>,
    /// A duration such as `10min`.
    run_time_limit: Option<String>,
    #[serde(default)]
    if_it_fails: IfItFails,
    prestage_to: Option<PathBuf>,
}

const fn kept() -> usize {
    KEPT
}

/// Reads the settings. The server and the credentials are added to `server` where no flag says otherwise.
pub fn read(path: &Path, server: &mut ServerArgs) -> Result<Settings, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
    let text = text(path)?;
    let file: File = toml::from_str(&text).map_err(|error| wrong(&error))?;
    let settings = file.settings(server).map_err(|why| wrong(&why))?;
    settings.check().map_err(|why| wrong(&why))?;
    Ok(settings)
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::local("read", path, &error);
    let file = file_system::open_named(path).map_err(failed)?;
    // Who may write it says what is run on this machine.
    file_must_be_ours(path)?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
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
        let folder = self.to.as_deref();
        let images = self.image.into_iter().map(|image| image.image(folder));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let first = images.first().map(|image| image.folder.as_path());
        Ok(Settings {
            trust_state: folder.or(first).unwrap_or(Path::new(".")).join(TRUST_STATE),
            tree: self.tree,
            trust: self.trust,
            client: self.client,
            group: self.group,
            period: match &self.check_every {
                None => PERIOD,
                Some(text) => duration("check_every", text, SHORTEST_PERIOD, LONGEST_PERIOD)?,
            },
            bandwidth: self.bandwidth.bandwidth()?,
            images,
        })
    }
}

impl BandwidthTable {
    fn bandwidth(self) -> Result<Bandwidth, String> {
        let rate = |text: String| bandwidth::rate(&text).map_err(|error| format!("rate: {error}"));
        let share = |percent| {
            LineShare::percent(percent).ok_or_else(|| "share must be 1 to 99 percent".to_owned())
        };
        if !self.hours.iter().all(Hours::come) {
            return Err("hours must have a day, and a time zone that this machine knows".to_owned());
        }
        Ok(Bandwidth {
            rate: self.rate.map(rate).transpose()?,
            share: self.share.map(share).transpose()?,
            hours: self.hours,
        })
    }
}

impl ImageTable {
    /// `folder` is the one of all images, in which those without one of their own have theirs.
    fn image(self, folder: Option<&Path>) -> Result<Image, String> {
        let limit = match &self.run_time_limit {
            None => TIME_LIMIT,
            Some(text) => {
                duration("run_time_limit", text, Duration::from_millis(1), LONGEST_LIMIT)?
            }
        };
        let own = || folder.map(|folder| folder.join(self.name.as_str()));
        let folder = self.folder.clone().or_else(own);
        Ok(Image {
            folder: folder.ok_or_else(|| {
                format!("the image {} has no folder: set `to` for all, or `folder`", self.name)
            })?,
            name: self.name,
            channel: self.channel.unwrap_or_else(ChannelName::production),
            keep: self.keep,
            run_after: RunAfter::new(self.run_after, limit),
            if_it_fails: self.if_it_fails,
            prestage_to: self.prestage_to,
        })
    }
}

/// Reads a duration such as `15min`.
fn duration(
    name: &str,
    text: &str,
    shortest: Duration,
    longest: Duration,
) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).map_err(|error| format!("{name}: {error}"))?;
    if (shortest..=longest).contains(&read) {
        return Ok(read);
    }
    let shown = humantime::format_duration;
    Err(format!("{name} must be from {} to {}", shown(shortest), shown(longest)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings_of(text: &str) -> Result<(Settings, ServerArgs), Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut server = ServerArgs::default();
        Ok((read(file.path(), &mut server)?, server))
    }

    #[test]
    fn a_file_names_the_server_and_the_images() {
        let (settings, server) = settings_of(
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
        let (settings, _) = settings_of(
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
        let refused = read(file.path(), &mut ServerArgs::default()).unwrap_err();
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
            let refused = settings_of(text).unwrap_err();
            assert_eq!(refused.exit(), crate::client::Exit::Usage);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
}
