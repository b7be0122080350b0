//! The rollout of a promotion: who is offered the revision, and from when on.
//!
//! These are the terms as a promoter states them and as a row stores them. A value that could contradict itself cannot
//! be built: the fields are checked while they are parsed. The room `rollout` says what the terms mean for a client at
//! a moment.

mod delay;
mod limits;
mod share;
mod step;
mod window;

#[cfg(feature = "server")]
use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
#[cfg(feature = "server")]
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use self::limits::{MOST_PARTS, at_most};
pub use self::share::{Bucket, Share};
pub use self::step::Step;
pub use self::window::{TimeOfDay, Weekday, Window, ZoneName};
use super::ClientPattern;
use crate::model::refusal::Refusal;

/// The largest number of canaries.
const MOST_CANARIES: usize = 1000;

/// The share of clients that are offered the revision, and how it grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pace {
    /// The share stays the same until a person changes it.
    Percent(Share),
    /// The share grows with time. There is at least one step.
    Steps(Vec<Step>),
}

/// The speed at which a promotion reaches clients. Without any field, all clients are offered the revision at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RolloutFields", into = "RolloutFields")]
pub struct Rollout {
    pub pace: Pace,
    /// The time before which only canaries are offered the revision. Steps count from it.
    pub start: Option<DateTime<Utc>>,
    /// The times of the week at which clients are offered the revision; at any time if empty.
    pub windows: Vec<Window>,
    /// The clients that are offered the revision before all others.
    pub canaries: Vec<ClientPattern>,
    /// True while a person has stopped the rollout.
    pub paused: bool,
    pub halt: Option<HaltRule>,
}

/// The rule by which failures that clients report stop a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltRule {
    /// The rollout stops when more than this share of the clients that reported an end have failed.
    pub failures_percent: Share,
    /// The number of clients that must have reported an end before the rule applies.
    #[serde(default = "usual_number_of_reports")]
    #[cfg_attr(feature = "server", schema(value_type = u32, minimum = 1, default = 20))]
    pub at_least: std::num::NonZeroU32,
}

fn usual_number_of_reports() -> std::num::NonZeroU32 {
    const { std::num::NonZeroU32::MIN.saturating_add(19) }
}

/// The form of a rollout in requests, answers and rows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "server", schema(as = Rollout, example = json!({"steps": [{"percent": 100, "groups": ["pilot-*"]}, {"percent": 5}, {"percent": 25, "after": "24h"}, {"percent": 100, "after": "72h"}]})))]
pub struct RolloutFields {
    /// The share of clients that are offered the revision, in percent, in steps of 0.01; 100 if neither it nor `steps`
    /// is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<Share>,
    /// The share as it grows with time, instead of `percent`. It never falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(min_items = 1, max_items = 100))]
    steps: Option<Vec<Step>>,
    /// The time before which only canaries are offered the revision. Steps count from it, otherwise from the promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<DateTime<Utc>>,
    /// The times of the week at which clients are offered the revision; at any time if omitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(max_items = 100))]
    windows: Vec<Window>,
    /// The clients that are offered the revision before all others: ids, in which `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, max_items = 1000))]
    canaries: Vec<ClientPattern>,
    /// True while a person has stopped the rollout.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    halt: Option<HaltRule>,
}

#[cfg(feature = "server")]
impl PartialSchema for Rollout {
    fn schema() -> RefOr<Schema> {
        RolloutFields::schema()
    }
}

#[cfg(feature = "server")]
impl ToSchema for Rollout {
    fn name() -> Cow<'static, str> {
        RolloutFields::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        RolloutFields::schemas(schemas);
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            pace: Pace::Percent(Share::EVERYONE),
            start: None,
            windows: Vec::new(),
            canaries: Vec::new(),
            paused: false,
            halt: None,
        }
    }
}

impl Rollout {
    /// Checks what its fields cannot express: numbers of entries, and steps that fall or repeat a time.
    pub fn check(self) -> Result<Self, Refusal> {
        if let Pace::Steps(steps) = &self.pace {
            at_most(steps.len(), MOST_PARTS, "steps")?;
            step::check(steps)?;
        }
        at_most(self.windows.len(), MOST_PARTS, "windows")?;
        at_most(self.canaries.len(), MOST_CANARIES, "canaries")?;
        Ok(self)
    }
}

impl Pace {
    /// Returns the pace that a request's fields state, or none if they have neither.
    pub fn of(percent: Option<Share>, steps: Option<Vec<Step>>) -> Result<Option<Self>, Refusal> {
        match (percent, steps) {
            (Some(_), Some(_)) => {
                Err(Refusal::new("steps", "cannot be given together with percent: choose one"))
            }
            (Some(percent), None) => Ok(Some(Self::Percent(percent))),
            (None, Some(steps)) => Ok(Some(Self::Steps(steps))),
            (None, None) => Ok(None),
        }
    }
}

impl TryFrom<RolloutFields> for Rollout {
    type Error = Refusal;

    fn try_from(fields: RolloutFields) -> Result<Self, Refusal> {
        let pace = Pace::of(fields.percent, fields.steps)?;
        Self {
            pace: pace.unwrap_or(Pace::Percent(Share::EVERYONE)),
            start: fields.start,
            windows: fields.windows,
            canaries: fields.canaries,
            paused: fields.paused,
            halt: fields.halt,
        }
        .check()
    }
}

impl From<Rollout> for RolloutFields {
    fn from(rollout: Rollout) -> Self {
        let (percent, steps) = match rollout.pace {
            Pace::Percent(percent) => (Some(percent), None),
            Pace::Steps(steps) => (None, Some(steps)),
        };
        Self {
            percent,
            steps,
            start: rollout.start,
            windows: rollout.windows,
            canaries: rollout.canaries,
            paused: rollout.paused,
            halt: rollout.halt,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Rollout, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rollout_is_stored_and_shown_as_it_was_stated() {
        for stated in [
            json!({"percent": 100}),
            json!({"percent": 0.05}),
            json!({"steps": [{"percent": 100, "groups": ["pilot-*"]}, {"percent": 5},
                             {"percent": 25, "after": "24h"}, {"percent": 100, "after": "72h"}]}),
            json!({"percent": 25, "start": "2026-12-01T20:00:00Z", "paused": true,
                   "windows": [{"days": ["sat", "sun"], "from": "22:00", "to": "05:00", "zone": "Europe/Berlin"}],
                   "canaries": ["PC-0815", "test-*"], "halt": {"failures_percent": 5, "at_least": 20}}),
        ] {
            let rollout = read(stated.clone()).unwrap();
            assert_eq!(serde_json::to_value(&rollout).unwrap(), stated);
        }
        assert_eq!(read(json!({})).unwrap(), Rollout::default());
    }

    #[test]
    fn a_rollout_that_contradicts_itself_is_refused_by_the_name_of_its_field() {
        for (stated, word) in [
            (json!({"percent": 5, "steps": [{"percent": 5}]}), "choose one"),
            (json!({"percent": 100.5}), "from 0 to 100"),
            (json!({"percent": 0.001}), "steps of 0.01"),
            (json!({"steps": []}), "at least one step"),
            (json!({"steps": [{"percent": 25}, {"percent": 5, "after": "1h"}]}), "must not fall"),
            (
                json!({"steps": [{"percent": 5, "after": "1h"}, {"percent": 25, "after": "60m"}]}),
                "same time",
            ),
            (
                json!({"steps": [{"percent": 5, "after": "2h"}, {"percent": 25, "after": "1h"}]}),
                "order",
            ),
            (
                json!({"windows": [{"days": ["sun"], "from": "25:00", "to": "05:00", "zone": "UTC"}]}),
                "HH:MM",
            ),
            (
                json!({"windows": [{"days": [], "from": "01:00", "to": "05:00", "zone": "UTC"}]}),
                "at least one day",
            ),
            (
                json!({"windows": [{"days": ["sun"], "from": "01:00", "to": "05:00", "zone": "../x"}]}),
                "IANA",
            ),
            (json!({"canaries": ["a b"]}), "client"),
            (json!({"halt": {"failures_percent": 5, "at_least": 0}}), "nonzero"),
            (json!({"steeps": []}), "unknown field"),
        ] {
            let refusal = read(stated.clone()).unwrap_err();
            assert!(refusal.contains(word), "{stated}: {refusal}");
        }
    }

    #[test]
    fn steps_of_other_groups_are_a_list_of_their_own() {
        let both = json!({"steps": [{"percent": 50}, {"percent": 10, "groups": ["lab-*"]}]});
        assert!(read(both).is_ok());
    }
}
