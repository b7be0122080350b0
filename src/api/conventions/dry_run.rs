//! `?dry_run=true`: checks everything and answers as if the change were made, but changes nothing.
//!
//! Operations that support it take [`DryRun`]. For all others [`super::unknown_parameters`] refuses it: a caller who
//! asks that nothing be changed must not find out afterwards that something was.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::catalog::Execution;

/// The query parameter that asks for a dry run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Check everything and answer as if the change were made, but change nothing.
    #[serde(default)]
    #[param(default = false)]
    dry_run: bool,
}

impl DryRun {
    pub fn execution(&self) -> Execution {
        execution(self.dry_run)
    }
}

/// Converts the parameter, for queries that have others besides it.
pub fn execution(dry_run: bool) -> Execution {
    if dry_run { Execution::DryRun } else { Execution::Real }
}
