//! Asks the update check, and reads its answer as a plan of what to fetch.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::fetch_plan::{FetchPlan, PlannedDelta, PlannedFile, digest, name_in};
use crate::client::error::Failure;
use crate::model::ClientId;

/// The bounds of the time between two checks, whatever an answer says.
const SHORTEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A question to the update check.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub image: &'a str,
    pub channel: &'a str,
    pub client: Option<&'a ClientId>,
    pub group: Option<&'a str>,
}

/// The reason of an answer that wants a client to leave a revoked revision.
pub const REVOKED: &str = "revision_revoked";

/// The thing that the depot tells a client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    None,
    Update,
    /// Keep what is there, and wait.
    Hold,
    /// Change to an earlier revision.
    Rollback,
}

impl Action {
    /// Returns the API's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Update => "update",
            Self::Hold => "hold",
            Self::Rollback => "rollback",
        }
    }
}

/// The answer.
#[derive(Debug)]
pub struct Answer {
    pub action: Action,
    pub reason: String,
    /// Changes whenever the assignment does.
    pub epoch: u64,
    pub check_after_seconds: u64,
    /// Set if the target must not wait: it is mandatory, its deadline has passed, or what is here was revoked.
    pub is_urgent: bool,
    /// The revision to have; none if there is nothing to have now.
    pub target: Option<FetchPlan>,
}

impl Answer {
    /// An answer that has nothing to fetch.
    pub const fn without_target(action: Action, reason: String, check_after_seconds: u64) -> Self {
        Self { action, reason, epoch: 0, check_after_seconds, is_urgent: false, target: None }
    }

    /// Returns the time until this client's slot.
    pub fn check_after(&self) -> Duration {
        Duration::from_secs(self.check_after_seconds).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }
}

/// The answer as it is sent.
#[derive(Debug, Deserialize)]
struct Check {
    action: Action,
    image: String,
    reason: String,
    #[serde(default)]
    epoch: u64,
    #[serde(default = "usual_wait")]
    check_after_seconds: u64,
    #[serde(default)]
    mandatory: bool,
    #[serde(default)]
    deadline: Option<DateTime<Utc>>,
    target: Option<CheckTarget>,
}

#[derive(Debug, Deserialize)]
struct CheckTarget {
    revision: u64,
    files: Vec<CheckFile>,
}

#[derive(Debug, Deserialize)]
struct CheckFile {
    role: String,
    url: String,
    size: u64,
    digest: String,
    chunks_url: Option<String>,
    delta: Option<CheckDelta>,
}

#[derive(Debug, Deserialize)]
struct CheckDelta {
    from: u64,
    url: String,
    size: u64,
    digest: String,
}

const fn usual_wait() -> u64 {
    900
}

/// Returns the id of this client: the one that is given, else `IMAGEDEPOT_CLIENT`, else the machine's name. A machine's
/// name that is not a valid id is not sent.
pub fn this_client(given: Option<&ClientId>) -> Result<Option<ClientId>, Failure> {
    if let Some(client) = given {
        return Ok(Some(client.clone()));
    }
    let named = std::env::var("IMAGEDEPOT_CLIENT").ok().filter(|named| !named.is_empty());
    if let Some(named) = named {
        let wrong = |error| Failure::usage(format!("IMAGEDEPOT_CLIENT: {error}"));
        return named.parse().map(Some).map_err(wrong);
    }
    let system = rustix::system::uname();
    Ok(system.nodename().to_str().ok().and_then(|name| name.parse().ok()))
}

/// Returns what the channel offers to a machine that has nothing yet.
pub async fn offered(connection: &Connection, asked: Asked<'_>) -> Result<FetchPlan, Failure> {
    let answer = ask(connection, asked, None).await?;
    answer.target.ok_or_else(|| {
        let reason = nothing_offered(asked.image, asked.channel, &answer.reason);
        Failure::new(Exit::NotFound, reason)
    })
}

/// Asks what a client with this revision is to do.
pub async fn ask(
    connection: &Connection,
    Asked { image, channel, client, group }: Asked<'_>,
    current: Option<u64>,
) -> Result<Answer, Failure> {
    let mut question = connection.api(&["update-check"])?;
    question.query_pairs_mut().append_pair("image", image).append_pair("channel", channel);
    if let Some(current) = current {
        question.query_pairs_mut().append_pair("revision", &current.to_string());
    }
    if let Some(client) = client {
        question.query_pairs_mut().append_pair("client", client.as_str());
    }
    if let Some(group) = group {
        question.query_pairs_mut().append_pair("group", group);
    }
    let check: Check = connection.get(question).await?;
    let now = DateTime::<Utc>::from(SystemTime::now());
    let is_urgent = check.mandatory
        || check.deadline.is_some_and(|deadline| deadline <= now)
        || check.reason == REVOKED;
    let target = check.target.map(|target| target.planned(connection, check.image)).transpose()?;
    Ok(Answer {
        action: check.action,
        reason: check.reason,
        epoch: check.epoch,
        check_after_seconds: check.check_after_seconds,
        is_urgent,
        target,
    })
}

impl CheckTarget {
    fn planned(self, connection: &Connection, image: String) -> Result<FetchPlan, Failure> {
        let files = self.files.into_iter().map(|file| file.planned(connection));
        FetchPlan::new(image, self.revision, true, files.collect::<Result<_, _>>()?)
    }
}

impl CheckFile {
    fn planned(self, connection: &Connection) -> Result<PlannedFile, Failure> {
        let url = connection.resolve(&self.url)?;
        let digest = digest(&self.digest)?;
        let whole = PlannedFile::whole(self.role, name_in(&url)?, url, self.size, digest);
        let chunks = self.chunks_url.map(|url| connection.resolve(&url)).transpose()?;
        let delta = self.delta.map(|delta| delta.planned(connection)).transpose()?;
        Ok(PlannedFile { chunks, deltas: delta.into_iter().collect(), ..whole })
    }
}

impl CheckDelta {
    fn planned(self, connection: &Connection) -> Result<PlannedDelta, Failure> {
        let (url, digest) = (connection.resolve(&self.url)?, digest(&self.digest)?);
        Ok(PlannedDelta { from: self.from, url, size: self.size, digest })
    }
}

fn nothing_offered(image: &str, channel: &str, reason: &str) -> String {
    if reason == "nothing_assigned" {
        format!("no revision of {image} is assigned to the channel {channel} yet")
    } else {
        format!("the channel {channel} offers no revision of {image} now ({reason})")
    }
}
