//! The outcome of a promotion: it is in force, or it waits for other people.

use crate::model::Assignment;
use crate::model::pending_promotion::{Approval, PendingPromotion};

/// A pending promotion, and who has agreed to it.
#[derive(Debug, Clone)]
pub struct Pending {
    pub promotion: PendingPromotion,
    pub approvals: Vec<Approval>,
    /// The number of people, besides the first, who must agree.
    pub needed: i64,
}

/// The outcome of a promotion or of a change of a rollout.
#[derive(Debug, Clone)]
pub enum Promoted {
    InForce(Box<Assignment>),
    /// It waits for other people; what was in force stays so.
    Pending(Box<Pending>),
}

impl Promoted {
    /// Returns the assignment, if it is in force.
    pub fn in_force(self) -> Option<Assignment> {
        match self {
            Self::InForce(assignment) => Some(*assignment),
            Self::Pending(_) => None,
        }
    }
}

impl From<Assignment> for Promoted {
    fn from(assignment: Assignment) -> Self {
        Self::InForce(Box::new(assignment))
    }
}
