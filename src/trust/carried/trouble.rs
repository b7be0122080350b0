//! The reasons for which a carried file is refused, and the signatures that it needs.

use std::fmt;

use crate::trust::key::KeyId;

/// The keys of a role, which have to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The keys of the root in force, which clients have.
    RootBefore(i64),
    /// The keys that the next root names for itself.
    Root(i64),
    /// The targets' keys.
    Targets,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootBefore(version) => write!(f, "the root's keys of before (root {version})"),
            Self::Root(version) => write!(f, "the root's keys of now (root {version})"),
            Self::Targets => f.write_str("the targets' keys"),
        }
    }
}

/// The signatures that are needed of somebody, and how many are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub by: By,
    pub found: usize,
    pub threshold: u32,
    /// The keys that have not signed.
    pub left: Vec<KeyId>,
}

impl Need {
    pub fn missing(&self) -> usize {
        usize::try_from(self.threshold).unwrap_or(usize::MAX).saturating_sub(self.found)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, found, threshold, .. } = self;
        write!(f, "{found} of {threshold} signatures by {by}")?;
        if self.missing() > 0 {
            let left: Vec<_> = self.left.iter().map(ToString::to_string).collect();
            write!(f, "; {} more by {}", self.missing(), left.join(" or "))?;
        }
        Ok(())
    }
}

/// The reason for which a carried file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error(
        "this is no file to be signed: `imagedepot trust init`, `rotate --out` and `pending` write such files"
    )]
    NotCarried,
    #[error("the file was damaged or changed on its way ({0}): export it again")]
    Changed(String),
    #[error(
        "this file needs no signature of the key {0}: is it the right key, and the right file?"
    )]
    NotAsked(KeyId),
    #[error("signatures are missing: {}", list(.0))]
    TooFew(Vec<Need>),
    #[error("the files are copies of different exports: sign copies of one")]
    OtherCopy,
}

fn list(needs: &[Need]) -> String {
    needs.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Trouble {
    pub(super) fn changed(what: &str) -> Self {
        Self::Changed(what.to_owned())
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self::Changed(error.to_string())
    }
}
