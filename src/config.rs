//! The settings: one documented structure, from one file, the environment and a few flags.
//!
//! Read in this order, later wins: `--config FILE` (TOML), `IMAGEDEPOT__SECTION__KEY` in the
//! environment (also `…_FILE`, which names a file that holds the value, for secrets), flags. Unknown
//! keys are refused. `check-config --example` prints `config/example.toml`, which a test keeps equal
//! to the defaults here.

mod access;
mod check;
mod environment;
mod listener;
mod places;
mod scrub;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use url::Url;

pub use access::{Access, Kerberos, Logins, Tokens};
pub use environment::secret_from_environment;
pub use listener::{ClientCertificates, Listener};
pub use places::{CatalogSettings, Store, Tree};
pub use scrub::Scrub;

use crate::access::TrustedProxies;
use crate::catalog::Rules;
use crate::catalog::rules::{BitsRules, Commit, UploadRules};
use crate::model::{ChannelName, NamePattern};
use places::{below, local_folder};

/// The settings file with every key, commented, set to its default.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Where `serve` keeps its data when nothing is said.
pub const DEFAULT_DATA: &str = "./imagedepot-data";

/// Where `serve` listens when nothing is said.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Everything that can be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub listener: Vec<Listener>,
    pub catalog: CatalogSettings,
    pub store: Store,
    pub tree: Tree,
    pub uploads: UploadRules,
    pub bits: Bits,
    pub checks: Checks,
    pub scrub: Scrub,
    pub access: Access,
    pub metrics: Metrics,
    pub log: Log,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// What links are made with, where the server is reached under another name than its own:
    /// `https://images.example.com`. Without it links are paths.
    pub public_url: Option<Url>,
    /// Addresses and networks of the proxies whose word on the client counts: its address, its certificate,
    /// and whether it came by TLS. Nobody else's does.
    pub trusted_proxies: TrustedProxies,
    /// How long a stopping server waits for downloads and uploads under way.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            public_url: None,
            trusted_proxies: TrustedProxies::default(),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// `[bits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bits {
    /// How the name of an uploaded file, without its extension, tells the image.
    pub name_pattern: String,
    /// The channel that complete revisions are promoted to; without it none.
    pub promote_to: Option<ChannelName>,
    pub commit: Commit,
    /// Sessions that one caller may have open. 0 is no limit.
    pub max_sessions: u32,
    /// The largest fragment. 0 is no limit.
    pub max_fragment: ByteSize,
}

impl Default for Bits {
    fn default() -> Self {
        Self {
            name_pattern: NamePattern::DEFAULT.to_owned(),
            promote_to: None,
            commit: Commit::LastFragment,
            max_sessions: 50,
            max_fragment: ByteSize::b(0),
        }
    }
}

/// `[checks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// How often a client asks for updates.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
}

impl Default for Checks {
    fn default() -> Self {
        Self { period: Duration::from_mins(15) }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// An address of its own, on which `/metrics` is open to whoever reaches it.
    pub listen: Option<SocketAddr>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// A filter as tracing has it: `info`, `imagedepot=debug,sqlx=warn`.
    pub level: String,
    /// A file for the access log, in the W3C extended format that IIS writes. Without it none is kept.
    pub access: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned(), access: None }
    }
}

/// What is wrong with the settings, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Something is wrong with a file that the settings name.
    pub fn at(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl Config {
    /// Reads the file, if one is named, and the environment.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(config::File::from(file).format(config::FileFormat::Toml));
        }
        builder = builder.add_source(
            config::Environment::with_prefix("IMAGEDEPOT")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true)
                .source(Some(environment::plain_values()?)),
        );
        for (key, value) in environment::values_from_files()? {
            builder =
                builder.set_override(key, value).map_err(|error| ConfigError(error.to_string()))?;
        }
        let config = builder.build().map_err(|error| ConfigError(error.to_string()))?;
        config.try_deserialize().map_err(|error| ConfigError(error.to_string()))
    }

    /// Reads the file alone: what the environment says is about another place.
    pub fn read_file(file: &Path) -> Result<Self, ConfigError> {
        let source = config::File::from(file).format(config::FileFormat::Toml);
        let config = config::Config::builder().add_source(source).build();
        let config = config.map_err(|error| ConfigError(error.to_string()))?;
        config.try_deserialize().map_err(|error| ConfigError(error.to_string()))
    }

    /// Fills in what depends on the data folder and on `--listen`.
    pub fn complete(mut self, data: &Path, listen: Option<Listener>) -> Result<Self, ConfigError> {
        let data = std::path::absolute(data)
            .map_err(|error| ConfigError(format!("{}: {error}", data.display())))?;
        let folder_url = |name: &str| {
            Url::from_directory_path(data.join(name))
                .map_err(|()| ConfigError(format!("{} is no path for a URL", data.display())))
        };
        if self.catalog.url.is_none() {
            self.catalog.url = Some(format!("sqlite:{}", data.join("catalog.sqlite").display()));
        }
        if self.store.url.is_none() {
            self.store.url = Some(folder_url("blobs")?);
        }
        if self.tree.url.is_none() {
            self.tree.url = Some(match &self.store.url {
                Some(store) if store.scheme() != "file" => below(store, "MEDVImages"),
                _ => folder_url("MEDVImages")?,
            });
        }
        if listen.is_some() || self.listener.is_empty() {
            self.listener.push(listen.unwrap_or_else(|| Listener::plain(DEFAULT_LISTEN)));
        }
        self.check()?;
        Ok(self)
    }

    /// The catalog's share of the settings.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        Ok(Rules {
            pattern: self
                .tree
                .pattern
                .parse()
                .map_err(|error| ConfigError(format!("tree.pattern: {error}")))?,
            grace: self.tree.grace,
            uploads: self.uploads.clone(),
            min_free: self.store.min_free.as_u64(),
            safety_age: self.store.safety_age,
            check_period: u32::try_from(self.checks.period.as_secs())
                .map_err(|_| ConfigError("checks.period: at most 100 years".to_owned()))?,
            scrub: self.scrub.rules()?,
            token_lifetime: self.access.tokens.lifetime,
            longest_token_lifetime: self.access.tokens.longest_lifetime,
            bits: BitsRules {
                name_pattern: self
                    .bits
                    .name_pattern
                    .parse()
                    .map_err(|error| ConfigError(format!("bits.name_pattern: {error}")))?,
                promote_to: self.bits.promote_to.clone(),
                commit: self.bits.commit,
                max_sessions: self.bits.max_sessions.into(),
                max_fragment: self.bits.max_fragment.as_u64(),
            },
        })
    }

    /// The settings that differ and that only a start can take.
    pub fn left_for_a_start(&self, new: &Self) -> Vec<&'static str> {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let differences = [
            ("[server]", text(&self.server) != text(&new.server)),
            ("[[listener]]", text(&self.listener) != text(&new.listener)),
            ("catalog.url", self.catalog.url != new.catalog.url),
            ("store.url", self.store.url != new.store.url),
            ("store.options", self.store.options != new.store.options),
            (
                "store.multipart_copy_above",
                self.store.multipart_copy_above != new.store.multipart_copy_above,
            ),
            ("tree.url", self.tree.url != new.tree.url),
            ("tree.alias", self.tree.alias != new.tree.alias),
            ("tree.pattern", self.tree.pattern != new.tree.pattern),
            ("tree.redirect", self.tree.redirect != new.tree.redirect),
            ("access.oidc", text(&self.access.oidc) != text(&new.access.oidc)),
            ("access.kerberos", text(&self.access.kerberos) != text(&new.access.kerberos)),
            ("access.logins", text(&self.access.logins) != text(&new.access.logins)),
            ("access.cors", self.access.cors != new.access.cors),
            ("metrics.listen", self.metrics.listen != new.metrics.listen),
            ("log.format", self.log.format != new.log.format),
            ("log.access", self.log.access != new.log.access),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The tree's folder on this machine.
    pub fn tree_folder(&self) -> Result<PathBuf, ConfigError> {
        local_folder("tree.url", self.tree.url.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        assert_eq!(format!("{:?}", parse(EXAMPLE).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn keys_without_a_default_stand_in_the_example_as_they_are_written() {
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let config = parse(&uncommented).unwrap();
        assert!(
            config.listener.len() == 1 && config.tree.url.is_some() && config.log.access.is_some()
        );
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse("[tree]\npatern = 'x'").unwrap_err().to_string();
        assert!(error.contains("patern"), "{error}");
    }

    #[test]
    fn a_database_password_does_not_show_in_debug_output() {
        let config = parse("[catalog]\nurl = 'postgres://u:hunter2@db/x'").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
