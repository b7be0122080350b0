//! The caller that makes a change, the precondition of the change, and whether it is a dry run.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::model::{Channel, Role};

/// The person or program behind a change, as authenticated by the module `access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub name: String,
    pub roles: Vec<Role>,
    /// The id that links audit rows to the access log.
    pub request_id: Option<String>,
    /// The address that the request came from; none for work on this machine.
    pub address: Option<String>,
}

impl Actor {
    /// Returns the actor for the server itself, or for an administrator at the machine's own command line:
    /// `system:NAME`, which no user's name can be.
    pub fn system(name: &str) -> Self {
        Self {
            name: format!("system:{name}"),
            roles: vec![Role::Admin],
            request_id: None,
            address: None,
        }
    }

    pub fn holds(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Reports whether the actor may promote to a channel: promoters and administrators may everywhere, others if the
    /// channel names one of their roles.
    pub fn may_promote_to(&self, channel: &Channel) -> bool {
        self.holds(Role::Admin)
            || self.holds(Role::Promoter)
            || channel.promoters.iter().any(|role| self.holds(*role))
    }
}

/// The mode of a change: real, or a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Execution {
    #[default]
    Real,
    /// Everything is checked and answered as for a real change, but nothing is changed.
    DryRun,
}

impl Execution {
    pub fn is_dry_run(self) -> bool {
        self == Self::DryRun
    }
}

/// The context of every change that supports a dry run.
#[derive(Debug, Clone, Copy)]
pub struct ChangeContext<'a> {
    pub actor: &'a Actor,
    pub condition: &'a Precondition,
    pub execution: Execution,
}

impl<'a> ChangeContext<'a> {
    /// Returns the context of a real change without a precondition.
    pub const fn unconditional(actor: &'a Actor) -> Self {
        Self { actor, condition: &Precondition::None, execution: Execution::Real }
    }
}

/// The caller's precondition on the current state (`If-Match`, `If-None-Match: *`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    #[default]
    None,
    /// The resource exists.
    Exists,
    /// The resource does not exist yet.
    Absent,
    /// The resource exists and has one of these tags.
    OneOf(Vec<String>),
}

impl Precondition {
    /// Returns `Stale` unless the current tag satisfies the precondition.
    pub fn check(&self, current: Option<&str>) -> Result<(), Error> {
        let satisfied = match self {
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::Absent => current.is_none(),
            Self::OneOf(tags) => current.is_some_and(|tag| tags.iter().any(|wanted| wanted == tag)),
        };
        if satisfied { Ok(()) } else { Err(Error::Stale) }
    }

    /// Returns the stored form, for a change that is requested now and made later; none if there is no precondition.
    pub(super) fn to_stored(&self) -> Option<String> {
        if *self == Self::None { None } else { serde_json::to_string(self).ok() }
    }

    /// Reads the form written by [`Self::to_stored`]. A text that cannot be read becomes a precondition that nothing
    /// satisfies.
    pub(super) fn from_stored(text: Option<&str>) -> Self {
        let read = |text| serde_json::from_str(text).unwrap_or(Self::OneOf(Vec::new()));
        text.map_or(Self::None, read)
    }
}
