//! The error of wrong settings.

use std::path::Path;

/// The mistakes in the settings, and where they are.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

impl ConfigError {
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Combines several mistakes, one on each line.
    pub fn all(mistakes: impl IntoIterator<Item = String>) -> Self {
        Self(mistakes.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// Reports a mistake in a file that the settings name.
    pub fn at(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}
