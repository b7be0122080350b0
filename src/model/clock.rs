//! The sources of time, ids and random secrets. They are passed in from outside, so that tests can control them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use uuid::Uuid;

/// A clock that reports whole microseconds. PostgreSQL stores no more, and a time must not change when it is stored.
#[derive(Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that does not move until a test moves it, in microseconds since the epoch.
    Fixed(Arc<AtomicU64>),
}

impl Clock {
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
            Self::System => {
                let now = Utc::now();
                now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
            }
            Self::Fixed(micros) => {
                let micros = i64::try_from(micros.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                DateTime::from_timestamp_micros(micros).unwrap_or_default()
            }
        }
    }
}

/// The source of ids that sort by time (`UUIDv7`), and of secrets from the system's random source.
#[derive(Clone, Copy, Default)]
pub struct Ids;

impl Ids {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    pub fn next(self) -> Uuid {
        Uuid::now_v7()
    }

    /// Returns 128 random bits in hex: the key of a blob, which says nothing about its content.
    pub fn blob_key(self) -> String {
        hex::encode(random::<16>())
    }

    /// Returns the key of a webhook's secret (256 bits).
    pub fn webhook_key(self) -> [u8; 32] {
        random()
    }

    /// Returns a password of 24 letters, digits, `-` and `_` (144 bits).
    pub fn password(self) -> String {
        URL_SAFE_NO_PAD.encode(random::<18>())
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without random numbers, keys could be guessed: stopping is the only safe reaction.
    getrandom::fill(&mut bytes).expect("the system's random source answers");
    bytes
}
