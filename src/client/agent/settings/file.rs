//! The file of an agent's settings. Its names are part of the interface.

use std::io::Read as _;
use std::num::NonZeroU64;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use super::{IfItFails, Image, KEPT, PERIOD, Settings};
use crate::client::agent::command::RunAfter;
use crate::client::bandwidth::{Bandwidth, Hours, LineShare};
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::file_system;
use crate::model::{ChannelName, ClientGroup, ClientId, ImageName};

/// The largest accepted file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The permissions of others to write. Who may write the file says what is run on this machine.
const WRITABLE_BY_OTHERS: u32 = 0o022;

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
    file.settings(server).map_err(|why| wrong(&why))
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::local("read", path, &error);
    let file = file_system::open_named(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let shown = path.display();
    if about.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        let words = format!("others may write {shown}, which says what is run here");
        return Err(Failure::usage(words).with_hint(&format!("run `chmod go-w {shown}`")));
    }
    let us = rustix::process::geteuid().as_raw();
    if about.uid() != us && about.uid() != 0 {
        return Err(Failure::usage(format!("{shown} belongs to another user")));
    }
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
        Ok(Settings {
            tree: self.tree,
            trust: self.trust,
            client: self.client,
            group: self.group,
            period: match &self.check_every {
                None => PERIOD,
                Some(text) => duration("check_every", text, SHORTEST_PERIOD, LONGEST_PERIOD)?,
            },
            bandwidth: self.bandwidth.bandwidth()?,
            images: images.collect::<Result<_, _>>()?,
        })
    }
}

impl BandwidthTable {
    fn bandwidth(self) -> Result<Bandwidth, String> {
        let rate = |text: String| {
            let size: ByteSize = text.parse().map_err(|error| format!("rate: {error}"))?;
            NonZeroU64::new(size.as_u64()).ok_or_else(|| "rate must be above 0".to_owned())
        };
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
