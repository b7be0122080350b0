//! The reports that wait for the transaction that records them.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::new_reporters::NewReporters;
use crate::catalog::error::Result;
use crate::model::report::{ReportSource, ReportStatus};
use crate::model::{ChannelName, ClientId, ImageName};

/// A report of a client.
#[derive(Debug, Clone)]
pub struct Report {
    pub client: ClientId,
    pub image: ImageName,
    pub channel: ChannelName,
    pub revision: i64,
    pub status: ReportStatus,
    /// The number of bytes that the client fetched.
    pub bytes: Option<i64>,
    pub milliseconds: Option<i64>,
    pub error: Option<String>,
    pub source: ReportSource,
}

/// A report whose image and channel were found.
pub(super) struct Prepared {
    pub(super) report: Report,
    pub(super) image: Uuid,
    pub(super) channel: Uuid,
    pub(super) at: DateTime<Utc>,
    /// True if the client has the revision from a pin, so that it needs no promotion.
    pub(super) is_pinned: bool,
}

/// The outcome of one report.
pub(super) enum Written {
    Recorded,
    /// The revision was never promoted to the channel.
    NeverPromoted,
    /// The client is not on record, and its source brought too many such clients in this minute.
    TooManyNew,
}

pub(super) type Waiting = (Prepared, oneshot::Sender<Result<Written>>);

/// The reports that wait for a transaction.
#[derive(Default)]
pub(in crate::catalog) struct WaitingReports {
    pub(super) reports: Mutex<Vec<Waiting>>,
    /// Held by the caller that writes.
    pub(super) writing: tokio::sync::Mutex<()>,
    pub(super) newcomers: NewReporters,
}
