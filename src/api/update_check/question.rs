//! The question of a client: its fields, the image and the channel that it is about, and when the client asks again.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::conventions::problem::{Code, Problem};
use crate::api::depot::Depot;
use crate::catalog::snapshot::ImageOffer;
use crate::catalog::update_check;
use crate::catalog::update_check::load::Load;
use crate::catalog::{Error, Snapshot};
use crate::model::{Channel, ClientGroup, ClientId, ImageName};
use crate::rollout::slot::seconds_until_slot;

/// The question of a client.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(example = json!({"image": "win7-office", "channel": "production", "revision": 11, "client": "PC-0815"}))]
pub struct Question {
    /// The image's name.
    #[schema(example = "win7-office")]
    pub(in crate::api) image: String,
    /// The channel's name; `production` if omitted.
    #[serde(default)]
    #[schema(example = "production")]
    pub(in crate::api) channel: Option<String>,
    /// The revision that the client has; 0 or omitted if it has none.
    #[serde(default)]
    #[param(minimum = 0)]
    #[schema(minimum = 0, example = 11)]
    pub(in crate::api) revision: Option<i64>,
    /// The client's id, which determines its slot and its place in rollouts.
    #[serde(default)]
    #[param(value_type = Option<String>, format = "client-id")]
    #[schema(value_type = Option<String>, format = "client-id", example = "PC-0815")]
    pub(in crate::api) client: Option<ClientId>,
    /// The group that the client puts itself into, such as a laboratory; rollouts may have steps for groups.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>, example = "lab-b")]
    pub(in crate::api) group: Option<ClientGroup>,
}

/// The image and the channel that a question is about.
pub(in crate::api) struct Subject<'a> {
    pub(in crate::api) image: &'a ImageOffer,
    pub(in crate::api) channel: &'a Channel,
}

impl Question {
    /// Finds the image and the channel. `may_ask` says whether the caller may ask about them, also if they do not exist.
    pub(in crate::api) fn subject<'a>(
        &self,
        snapshot: &'a Snapshot,
        may_ask: impl FnOnce(&Channel, &ImageName) -> Result<(), Problem>,
    ) -> Result<Subject<'a>, Problem> {
        if !snapshot.is_loaded() {
            return Err(Problem::new(Code::Starting, "the server has just started; try again"));
        }
        // An image of an invalid name cannot exist.
        let name: ImageName = self.image.parse().map_err(|_| Error::ImageNotFound)?;
        let channel = match &self.channel {
            Some(name) => name.parse().ok().and_then(|name| snapshot.channel(&name)),
            None => snapshot.production(),
        };
        let channel = &channel.ok_or(Error::ChannelNotFound)?.channel;
        may_ask(channel, &name)?;
        let image = snapshot.image(&name).ok_or(Error::ImageNotFound)?;
        Ok(Subject { image, channel })
    }

    /// Returns the question as the catalog's rules take it.
    pub(in crate::api) fn asked(
        &self,
        now: DateTime<Utc>,
    ) -> Result<update_check::Question<'_>, Problem> {
        let current = self.revision.unwrap_or(0);
        if current < 0 {
            return Err(Error::invalid(
                "revision",
                "must be the number of the installed revision, or 0 for none",
            )
            .into());
        }
        let group = self.group.as_ref();
        Ok(update_check::Question { current, client: self.client.as_ref(), group, now })
    }

    /// Returns the seconds until the client's slot. Clients without an id are distinguished by their address.
    pub(super) fn wait(&self, depot: &Depot, address: IpAddr, periods: u32) -> u64 {
        let by_address = || address.to_string().replace(':', "-").parse().ok();
        let client = self.client.clone().or_else(by_address);
        wait_of(client.as_ref(), depot, depot.now(), periods)
    }

    /// Returns the seconds until the client's slot after a moment.
    pub(in crate::api) fn seconds_until_next(&self, depot: &Depot, now: DateTime<Utc>) -> u64 {
        wait_of(self.client.as_ref(), depot, now, 1)
    }
}

fn wait_of(client: Option<&ClientId>, depot: &Depot, now: DateTime<Utc>, periods: u32) -> u64 {
    let period = u64::from(depot.catalog.rules().check_period) * u64::from(periods);
    client.map_or(period, |client| seconds_until_slot(client, period, now))
}

/// Counts the request, and returns after how many periods its client asks again. Refuses the request if the server
/// answers as many as it may; `wait` is when the client tries again.
pub(super) fn periods(depot: &Depot, wait: impl FnOnce(u32) -> u64) -> Result<u32, Problem> {
    match depot.catalog.count_check() {
        Load::Answer { periods } => Ok(periods),
        Load::Refuse => {
            let detail = "the server answers as many update checks as checks.hard_limit allows";
            let problem = Problem::new(Code::TooManyChecks, detail);
            Err(problem.retry_after(wait(1)))
        }
    }
}
