//! What the rules are told from outside: see the settings of the same names.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::model::{ChannelName, FilePattern, NamePattern};

/// What the rules are told from outside: see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Rules {
    pub pattern: FilePattern,
    /// How long a withdrawn file stays for those who are fetching it.
    pub grace: Duration,
    pub uploads: UploadRules,
    /// Free bytes that uploads leave on the disk, for the database to go on.
    pub min_free: u64,
    /// How long the bytes of deleted revisions stay.
    pub safety_age: Duration,
    /// How often a client asks for updates, in seconds.
    pub check_period: u32,
    /// How old the snapshot may be that log-ins are answered from.
    pub stale_after: Duration,
    /// How long a token is good when nothing is said.
    pub token_lifetime: Duration,
    pub longest_token_lifetime: Duration,
    pub bits: BitsRules,
    pub scrub: ScrubRules,
    pub audit: AuditRules,
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
            stale_after: Duration::from_secs(30),
            token_lifetime: Duration::from_hours(90 * 24),
            longest_token_lifetime: Duration::from_hours(366 * 24),
            bits: BitsRules::default(),
            scrub: ScrubRules::default(),
            audit: AuditRules::default(),
        }
    }
}

/// `[audit]`, as it stands in the settings.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditRules {
    /// Rows go that are older. 0 keeps them for good.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

/// `[uploads]`, as it stands in the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadRules {
    /// The largest file.
    pub max_size: ByteSize,
    /// The most bytes that an image's files may have together, over all its revisions. 0 is no limit.
    pub image_quota: ByteSize,
    /// What one caller's uploads may reserve of the free room above `store.min_free`, in percent; administrators are exempt. 100 is no
    /// limit.
    pub caller_share: u8,
    /// An upload without progress goes after so long, and a draft that nobody touched.
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

/// What the scrub is told: see the settings of the same names.
#[derive(Debug, Clone, Copy)]
pub struct ScrubRules {
    /// Every byte is read again within this time.
    pub within: Duration,
    /// Bytes a second; none for as fast as `within` needs.
    pub bandwidth: Option<u64>,
}

impl Default for ScrubRules {
    fn default() -> Self {
        Self { within: Duration::from_hours(30 * 24), bandwidth: None }
    }
}

/// When the file of a BITS upload becomes the draft's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commit {
    /// With its last byte: what happens to the session afterwards changes nothing.
    #[default]
    LastFragment,
    /// When the client closes the session; until then it can take the file back.
    Close,
}

/// See the settings of the same names.
#[derive(Debug, Clone)]
pub struct BitsRules {
    pub name_pattern: NamePattern,
    pub promote_to: Option<ChannelName>,
    pub commit: Commit,
    /// Open sessions of one caller; 0 is no limit.
    pub max_sessions: i64,
    /// The largest fragment in bytes; 0 is no limit.
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
