//! Reports: what client machines say that they did with a revision.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::row::{from_row, stored_as_text};

/// The state that a client reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// The client has begun to fetch the revision.
    Downloading,
    /// The client runs the revision.
    Applied,
    /// The client could not fetch, verify or run the revision.
    Failed,
    /// The client ran the revision and has gone back from it by itself.
    RolledBack,
}

stored_as_text!(ReportStatus);

impl ReportStatus {
    /// Reports whether the client is done with the revision, for better or worse.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Downloading)
    }
}

/// The source of a report, of which a rollout counts only a few: a client certificate, otherwise an address. Addresses of
/// IPv6 count by their first 64 bits, of which one machine has all addresses (RFC 4291 section 2.5.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReportSource(String);

impl ReportSource {
    /// Returns the source for a certificate, by its fingerprint.
    pub fn certificate(fingerprint: &str) -> Self {
        Self(format!("certificate:{fingerprint}"))
    }

    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(format!("address:{address}")),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last report of a client on a promotion.
#[derive(Debug, Clone)]
pub struct RecordedReport {
    pub client: String,
    pub status: ReportStatus,
    pub error: Option<String>,
    pub reported_at: DateTime<Utc>,
    /// The end that counts for a halt, if any does.
    pub counted: Option<ReportStatus>,
    pub counted_caller: Option<String>,
}

from_row!(RecordedReport { client, status, error, reported_at, counted, counted_caller });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_one_machine_are_one_source() {
        let source = |text: &str| ReportSource::address(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
