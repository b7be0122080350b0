//! The settings as they are written, section by section, with their defaults.
//!
//! The larger sections are in files of their own: `access`, `listener`, `places`, `scrub`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use url::Url;

use super::access::Access;
use super::listener::Listener;
use super::location::Sources;
use super::places::{CatalogSettings, Store, Tree};
use super::scrub::Scrub;
use crate::access::TrustedProxies;
use crate::catalog::rules::{
    AuditRules, Commit, DeltaRules, EventRules, FleetRules, TrustRules, UploadRules, WebhookRules,
};
use crate::model::{ChannelName, NamePattern};

/// All settings.
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
    pub fleet: FleetRules,
    pub scrub: Scrub,
    pub audit: AuditRules,
    pub events: EventRules,
    pub webhooks: WebhookRules,
    pub trust: TrustRules,
    pub delta: DeltaRules,
    pub access: Access,
    pub metrics: Metrics,
    pub log: Log,
    #[serde(skip)]
    pub(super) sources: Sources,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The URL that links begin with, if the server is reached under another name than its own:
    /// `https://images.example.com`. Without it links are paths.
    pub public_url: Option<Url>,
    /// The addresses and networks of the proxies whose statements about the client are believed: its address, its
    /// certificate, and whether it came by TLS. No other caller is believed.
    pub trusted_proxies: TrustedProxies,
    /// The time that a stopping server waits for downloads and uploads under way.
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
    /// The most connections that one address may have open; 0 means a quarter of the files that the process may have
    /// open. Trusted proxies are exempt.
    pub connections_per_address: u32,
    /// The time after which a client that takes nothing of what is sent to it is disconnected.
    #[serde(with = "humantime_serde")]
    pub send_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            public_url: None,
            trusted_proxies: TrustedProxies::default(),
            shutdown_grace: Duration::from_secs(30),
            connections_per_address: 0,
            send_timeout: Duration::from_mins(2),
        }
    }
}

/// `[bits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bits {
    /// The regular expression that finds the image in the name of an uploaded file, without its extension.
    pub name_pattern: String,
    /// The channel that complete revisions are promoted to; without it they are not promoted.
    pub promote_to: Option<ChannelName>,
    pub commit: Commit,
    /// The most sessions that one caller may have open. 0 means no limit.
    pub max_sessions: u32,
    /// The largest fragment. 0 means no limit.
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
    /// The interval at which clients ask for updates.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
    /// The update checks a second above which clients are told to ask less often; 0 means no limit.
    pub stretch_above: u32,
    /// The update checks a second above which more are refused; 0 means no limit.
    pub hard_limit: u32,
}

impl Default for Checks {
    fn default() -> Self {
        Self { period: Duration::from_mins(15), stretch_above: 2000, hard_limit: 0 }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// A separate address on which `/metrics` is open to any caller who reaches it.
    pub listen: Option<SocketAddr>,
}

/// The format of log lines.
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
    /// A filter in the syntax of tracing: `info`, `imagedepot=debug,sqlx=warn`.
    pub level: String,
    /// A file for the access log, in the W3C extended format that IIS writes. Without it there is no access log.
    pub access: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned(), access: None }
    }
}
