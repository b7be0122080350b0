//! What is wrong with the settings.

use std::path::Path;

/// What is wrong with the settings, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

impl ConfigError {
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Several mistakes, a line each.
    pub fn all(mistakes: impl IntoIterator<Item = String>) -> Self {
        Self(mistakes.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// Something is wrong with a file that the settings name.
    pub fn at(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}
