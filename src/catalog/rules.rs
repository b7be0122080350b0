//! The parameters of the rules: see the settings of the same names.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::update_check::load::RateLimits;
use crate::model::networks::Networks;
use crate::model::{ChannelName, FilePattern, NamePattern};
use crate::trust::generation::Lives;

/// The parameters of the rules: see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Rules {
    pub pattern: FilePattern,
    /// The time for which a withdrawn file stays for clients that are fetching it.
    pub grace: Duration,
    pub uploads: UploadRules,
    /// The free bytes that uploads leave on the disk, so that the database can continue.
    pub min_free: u64,
    /// The time for which the bytes of deleted revisions are kept.
    pub safety_age: Duration,
    /// The interval at which a client asks for updates, in seconds.
    pub check_period: u32,
    pub check_rates: RateLimits,
    /// The greatest age of a snapshot that log-ins are answered from.
    pub stale_after: Duration,
    /// The default lifetime of a token.
    pub token_lifetime: Duration,
    pub longest_token_lifetime: Duration,
    pub bits: BitsRules,
    pub scrub: ScrubRules,
    pub audit: AuditRules,
    pub events: EventRules,
    pub webhooks: WebhookRules,
    pub fleet: FleetRules,
    pub trust: TrustRules,
    pub delta: DeltaRules,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pattern: FilePattern::default(),
            grace: Duration::from_hours(24),
            uploads: UploadRules::default(),
            min_free: 256 << 20,
            safety_age: Duration::from_hours(1),
            check_period: 900,
            check_rates: RateLimits { stretch_above: 2000, hard_limit: 0 },
            stale_after: Duration::from_secs(30),
            token_lifetime: Duration::from_hours(90 * 24),
            longest_token_lifetime: Duration::from_hours(366 * 24),
            bits: BitsRules::default(),
            scrub: ScrubRules::default(),
            audit: AuditRules::default(),
            events: EventRules::default(),
            webhooks: WebhookRules::default(),
            fleet: FleetRules::default(),
            trust: TrustRules::default(),
            delta: DeltaRules::default(),
        }
    }
}

/// The section `[trust]` of the settings: how long the signed metadata of the tree is valid.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustRules {
    #[serde(with = "humantime_serde")]
    pub root: Duration,
    #[serde(with = "humantime_serde")]
    pub targets: Duration,
    #[serde(with = "humantime_serde")]
    pub snapshot: Duration,
    /// Clients take the tree for frozen if the depot was down for longer than what was left of this.
    #[serde(with = "humantime_serde")]
    pub timestamp: Duration,
}

impl Default for TrustRules {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { root: DAY * 365, targets: DAY * 90, snapshot: DAY * 30, timestamp: DAY * 7 }
    }
}

impl TrustRules {
    pub const fn lives(&self) -> Lives {
        Lives {
            root: self.root,
            targets: self.targets,
            snapshot: self.snapshot,
            timestamp: self.timestamp,
        }
    }
}

/// The section `[delta]` of the settings: the chunk lists and deltas beside files, and what making them may cost.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeltaRules {
    /// True if any are made.
    pub chunks: bool,
    /// The number of ready revisions before the newest one from which deltas lead to it.
    pub from: u32,
    /// The share of one core that the work may take, up to 1.
    pub cpu: f64,
    /// The bytes that the work may read in a second. 0 means no limit.
    pub bandwidth: ByteSize,
}

impl Default for DeltaRules {
    fn default() -> Self {
        Self { chunks: true, from: 1, cpu: 0.5, bandwidth: ByteSize::b(0) }
    }
}

/// The section `[audit]` of the settings.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRules {
    /// The age after which rows are deleted. 0 keeps them forever.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

/// The section `[events]` of the settings.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventRules {
    /// The time for which events are kept, and readers may go on where they were.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Default for EventRules {
    fn default() -> Self {
        Self { keep: Duration::from_hours(7 * 24) }
    }
}

/// The section `[webhooks]` of the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookRules {
    /// The networks that webhooks may be in although they are this machine's or its neighbours', and without TLS.
    pub allow: Networks,
    /// The pauses after failed attempts, in their order. The last one is repeated.
    #[serde(deserialize_with = "durations")]
    pub retries: Vec<Duration>,
    /// The time after which a delivery that still fails is set aside.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
}

impl Default for WebhookRules {
    fn default() -> Self {
        Self {
            allow: Networks::default(),
            retries: vec![
                Duration::from_secs(5),
                Duration::from_secs(30),
                Duration::from_mins(2),
                Duration::from_mins(10),
                Duration::from_hours(1),
            ],
            give_up_after: Duration::from_hours(3 * 24),
        }
    }
}

fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    #[derive(Deserialize)]
    struct Written(#[serde(with = "humantime_serde")] Duration);

    let written: Vec<Written> = Vec::deserialize(deserializer)?;
    Ok(written.into_iter().map(|Written(duration)| duration).collect())
}

/// The section `[fleet]` of the settings.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetRules {
    /// The number of clients on record. Beyond it, those that were not seen for the longest time go. 0 means no limit.
    pub max_clients: u64,
    /// The number of clients that one address may bring into the record in a minute. More are answered and not
    /// recorded. 0 means no limit.
    pub new_clients: u32,
    /// The callers that may report what clients did.
    pub reports: WhoReports,
    /// The number of clients of one client certificate, or else of one address, whose reports count for the halt of a
    /// rollout. 0 means no limit.
    pub reports_per_caller: u32,
}

/// The callers that may report what clients did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoReports {
    /// Callers with credentials.
    #[default]
    Authenticated,
    /// Anybody, in channels that everyone may read.
    Everyone,
}

impl Default for FleetRules {
    fn default() -> Self {
        Self {
            max_clients: 1_000_000,
            new_clients: 1000,
            reports: WhoReports::default(),
            reports_per_caller: 3,
        }
    }
}

/// The section `[uploads]` of the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadRules {
    /// The size limit of a file.
    pub max_size: ByteSize,
    /// The limit for all files of an image together, over all its revisions. 0 means no limit.
    pub image_quota: ByteSize,
    /// The share of the free disk space above `store.min_free` that one caller's uploads may reserve, in percent;
    /// administrators are exempt. 100 means no limit.
    pub caller_share: u8,
    /// The time after which an upload without progress, or a draft that nobody has changed, is deleted.
    #[serde(with = "humantime_serde")]
    pub expire_after: Duration,
}

impl Default for UploadRules {
    fn default() -> Self {
        Self {
            max_size: ByteSize::tib(1),
            image_quota: ByteSize::b(0),
            caller_share: 80,
            expire_after: Duration::from_hours(14 * 24),
        }
    }
}

/// The parameters of the scrub: see the settings of the same names.
#[derive(Debug, Clone, Copy)]
pub struct ScrubRules {
    /// The time within which every byte is read again.
    pub within: Duration,
    /// The limit in bytes a second; none for as fast as `within` requires.
    pub bandwidth: Option<u64>,
}

impl Default for ScrubRules {
    fn default() -> Self {
        Self { within: Duration::from_hours(30 * 24), bandwidth: None }
    }
}

/// The moment at which the file of a BITS upload becomes the draft's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commit {
    /// With its last byte. What happens to the session afterwards changes nothing.
    #[default]
    LastFragment,
    /// When the client closes the session. Until then, the client can take the file back.
    Close,
}

/// The parameters of BITS uploads: see the settings of the same names.
#[derive(Debug, Clone)]
pub struct BitsRules {
    pub name_pattern: NamePattern,
    pub promote_to: Option<ChannelName>,
    pub commit: Commit,
    /// The limit for open sessions of one caller; 0 means no limit.
    pub max_sessions: i64,
    /// The largest fragment in bytes; 0 means no limit.
    pub max_fragment: u64,
}

impl Default for BitsRules {
    fn default() -> Self {
        Self {
            name_pattern: NamePattern::default(),
            promote_to: None,
            commit: Commit::LastFragment,
            max_sessions: 50,
            max_fragment: 0,
        }
    }
}
