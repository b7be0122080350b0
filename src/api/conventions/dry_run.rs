//! `?dry_run=true`: check everything and answer as if, but change nothing.
//!
//! Operations that know it take [`DryRun`]. For all others [`super::unknown_parameters`] refuses it: a caller who says that
//! nothing is to be changed must not find out otherwise.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::catalog::Execution;

/// Whether a change is only to be tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Check everything and answer as if, but change nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

impl DryRun {
    pub fn execution(&self) -> Execution {
        execution(self.dry_run)
    }
}

/// What `dry_run` says, for queries that have more than it.
pub fn execution(dry_run: bool) -> Execution {
    if dry_run { Execution::DryRun } else { Execution::Real }
}
