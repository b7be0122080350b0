//! The steps in which a share grows.

use serde::{Deserialize, Serialize};
#[cfg(feature = "server")]
use utoipa::ToSchema;

use super::delay;
use super::limits::{MOST_PARTS, at_most};
use super::share::Share;
use crate::model::ClientPattern;
use crate::model::refusal::Refusal;

/// A share that applies some time after the rollout's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "server", schema(as = RolloutStep))]
pub struct Step {
    pub percent: Share,
    /// The time after the start, such as `24h`; none for a step that applies from the start on.
    #[serde(default, skip_serializing_if = "delay::is_zero", with = "delay")]
    #[cfg_attr(feature = "server", schema(value_type = String, example = "24h"))]
    pub after: std::time::Duration,
    /// The groups that the step speaks for; for all clients if omitted. `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>, max_items = 100))]
    pub groups: Vec<ClientPattern>,
}

impl Step {
    /// Reports whether the step speaks for clients of this group, or for clients without one.
    pub fn speaks_for(&self, group: Option<&str>) -> bool {
        self.groups.is_empty()
            || group.is_some_and(|group| self.groups.iter().any(|pattern| pattern.matches(group)))
    }
}

/// Checks that there are steps, and that those for the same groups follow each other in time and never fall.
pub(super) fn check(steps: &[Step]) -> Result<(), Refusal> {
    let refused = |rule: &str| Err(Refusal::new("steps", rule));
    if steps.is_empty() {
        return refused("must have at least one step; leave it out for all clients at once");
    }
    for (place, step) in steps.iter().enumerate() {
        at_most(step.groups.len(), MOST_PARTS, "steps.groups")?;
        let before = steps[..place].iter().rev().find(|before| before.groups == step.groups);
        let Some(before) = before else { continue };
        if step.after == before.after {
            return refused(
                "must not have two steps at the same time (`after`) for the same clients",
            );
        }
        if step.after < before.after {
            return refused("must be in the order of their times (`after`)");
        }
        if step.percent < before.percent {
            return refused("must not fall: a client that was offered the revision keeps it");
        }
    }
    Ok(())
}
