//! What the rules are told from outside: see the settings of the same names.

use std::time::Duration;

use crate::model::{ChannelName, FilePattern, NamePattern};

/// What the rules are told from outside: see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Rules {
    pub pattern: FilePattern,
    /// How long a withdrawn file stays for those who are fetching it.
    pub grace: Duration,
    /// The largest file, in bytes.
    pub max_file_size: u64,
    /// Free bytes that uploads leave on the disk, for the database to go on.
    pub min_free: u64,
    /// The most bytes that an image's files may have together; 0 is no limit.
    pub image_quota: u64,
    /// How long the bytes of deleted revisions stay.
    pub safety_age: Duration,
    /// An upload without progress goes after so long, and a draft that nobody touched.
    pub expire_after: Duration,
    /// How often a client asks for updates, in seconds.
    pub check_period: u32,
    /// How long a token is good when nothing is said.
    pub token_lifetime: Duration,
    pub longest_token_lifetime: Duration,
    pub bits: BitsRules,
    pub scrub: ScrubRules,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pattern: FilePattern::default(),
            grace: Duration::from_hours(24),
            max_file_size: 1 << 40,
            min_free: 256 << 20,
            image_quota: 0,
            safety_age: Duration::from_hours(1),
            expire_after: Duration::from_hours(14 * 24),
            check_period: 900,
            token_lifetime: Duration::from_hours(90 * 24),
            longest_token_lifetime: Duration::from_hours(366 * 24),
            bits: BitsRules::default(),
            scrub: ScrubRules::default(),
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
