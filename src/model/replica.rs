//! The servers on one catalog, as each tells the others of itself.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::from_row;

#[derive(Debug, Clone)]
pub struct Replica {
    /// Its data folder's own.
    pub instance: Uuid,
    /// The version of its program.
    pub program: String,
    /// The version of the catalog that it answers from.
    pub loaded: i64,
}

from_row!(Replica { instance, program, loaded });

/// How many of the replicas answer by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReplicasReached)]
pub struct Reach {
    #[schema(minimum = 1)]
    pub have: u64,
    /// All that live, the one that answers among them.
    #[schema(minimum = 1)]
    pub of: u64,
}

impl Reach {
    /// Of a catalog that has one server.
    pub const ALONE: Self = Self { have: 1, of: 1 };

    pub const fn is_complete(self) -> bool {
        self.have == self.of
    }
}
