//! Who makes a change, on what condition, and whether it is only tried.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::model::{Channel, Role};

/// The person or program behind a change, as the access room recognised it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub name: String,
    pub roles: Vec<Role>,
    /// Ties audit rows to the access log.
    pub request_id: Option<String>,
    /// Where the request came from; none for work of this machine.
    pub address: Option<String>,
}

impl Actor {
    /// The server itself, or an administrator at the machine's own command line: `system:NAME`, which no user's name
    /// can be.
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

    /// Promoters and administrators everywhere, others where the channel names one of their roles.
    pub fn may_promote_to(&self, channel: &Channel) -> bool {
        self.holds(Role::Admin)
            || self.holds(Role::Promoter)
            || channel.promoters.iter().any(|role| self.holds(*role))
    }
}

/// Whether a change is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Execution {
    #[default]
    Real,
    /// Everything is checked and answered as if, and nothing is changed.
    DryRun,
}

impl Execution {
    pub fn is_dry_run(self) -> bool {
        self == Self::DryRun
    }
}

/// What every change that can be tried is asked with.
#[derive(Debug, Clone, Copy)]
pub struct ChangeContext<'a> {
    pub actor: &'a Actor,
    pub condition: &'a Precondition,
    pub execution: Execution,
}

impl<'a> ChangeContext<'a> {
    /// For a change that is made, whatever there is now.
    pub const fn unconditional(actor: &'a Actor) -> Self {
        Self { actor, condition: &Precondition::None, execution: Execution::Real }
    }
}

/// What a caller demands of the present state (`If-Match`, `If-None-Match: *`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    #[default]
    None,
    /// There is something, whatever it is.
    Exists,
    /// There is nothing yet.
    Absent,
    /// What there is has one of these tags.
    OneOf(Vec<String>),
}

impl Precondition {
    /// `Stale` unless the tag of what there is now satisfies the condition.
    pub fn check(&self, current: Option<&str>) -> Result<(), Error> {
        let satisfied = match self {
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::Absent => current.is_none(),
            Self::OneOf(tags) => current.is_some_and(|tag| tags.iter().any(|wanted| wanted == tag)),
        };
        if satisfied { Ok(()) } else { Err(Error::Stale) }
    }

    /// For a change that is asked for now and made later; nothing where nothing is demanded.
    pub(super) fn to_stored(&self) -> Option<String> {
        if *self == Self::None { None } else { serde_json::to_string(self).ok() }
    }

    /// What [`Self::to_stored`] has written. What cannot be read demands what cannot be had.
    pub(super) fn from_stored(text: Option<&str>) -> Self {
        let read = |text| serde_json::from_str(text).unwrap_or(Self::OneOf(Vec::new()));
        text.map_or(Self::None, read)
    }
}
