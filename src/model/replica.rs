//! The servers that share a catalog, as each of them reports itself to the others.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::from_row;

#[derive(Debug, Clone)]
pub struct Replica {
    /// The id that belongs to the server's data folder.
    pub instance: Uuid,
    /// The version of the program that it runs.
    pub program: String,
    /// The version of the catalog that it answers from.
    pub loaded: i64,
    /// The newest form of the catalog that it can read, such as [`READS_ROLLOUTS`].
    pub reads: i64,
}

from_row!(Replica { instance, program, loaded, reads });

/// The form of the catalog in which promotions have rollouts and clients have pins. Servers that read less would stop at
/// such a row.
pub const READS_ROLLOUTS: i64 = 1;

/// The newest form that this program reads.
pub const READS: i64 = READS_ROLLOUTS;

/// The number of replicas whose answers already include a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReplicasReached)]
pub struct Reach {
    #[schema(minimum = 1)]
    pub have: u64,
    /// All live replicas, including the one that answers.
    #[schema(minimum = 1)]
    pub of: u64,
}

impl Reach {
    /// The reach in a catalog that has a single server.
    pub const ALONE: Self = Self { have: 1, of: 1 };

    pub const fn is_complete(self) -> bool {
        self.have == self.of
    }
}
