//! The requests of a promoter.

use chrono::{DateTime, Utc};

use crate::model::{Rollout, Terms};

/// A promoter's request.
#[derive(Debug, Clone, Default)]
pub struct PromotionOrder {
    pub revision: i64,
    pub terms: Terms,
    pub repeat: Repeat,
}

/// The meaning of promoting the revision that is already assigned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It is a promotion like any other, with a new epoch.
    #[default]
    IsOne,
    /// It is no promotion if each of the named terms is what it already is: a script that repeats what it wants has not
    /// changed its mind.
    IsNone(NamedTerms),
}

/// The terms that a promoter has named, and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedTerms {
    pub rollout: Option<Rollout>,
    pub mandatory: Option<bool>,
    pub deadline: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

impl Repeat {
    pub(super) fn changes_nothing(&self, now: &Terms) -> bool {
        let Self::IsNone(named) = self else { return false };
        let NamedTerms { rollout, mandatory, deadline, note } = named;
        rollout.as_ref().is_none_or(|rollout| *rollout == now.rollout)
            && mandatory.is_none_or(|mandatory| mandatory == now.for_clients.mandatory)
            && deadline.is_none_or(|deadline| Some(deadline) == now.for_clients.deadline)
            && note.as_ref().is_none_or(|note| *note == now.note)
    }
}

/// A request for a rollback.
#[derive(Debug, Clone, Default)]
pub struct RollbackOrder {
    /// Reissues the earlier bytes under the next number, for clients that only move to higher revisions.
    pub as_new_revision: bool,
    pub rollout: Rollout,
    pub note: String,
}
