//! The arguments of `trust init`: the keys that the roles have in the next root.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::catalog::trust::offline::{NewKeys, RootChange};
use crate::client::{Exit, Failure};
use crate::trust::PublicKey;
use crate::trust::key_file::read_public;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Public half of a root's key that is kept elsewhere: a file that `keygen` has written, or 64 hex digits; may be
    /// given several times [default: the root's keys stay]
    #[arg(long = "root", value_name = "PUBLIC", num_args = 1..)]
    root: Vec<String>,
    /// Signatures of those keys that a root needs
    #[arg(long, value_name = "N", default_value_t = 1, requires = "root")]
    root_threshold: u32,
    /// Give the root one new key in the catalog instead
    #[arg(long, conflicts_with = "root")]
    root_here: bool,
    /// Public half of a targets' key that is kept elsewhere; may be given several times [default: the targets' keys stay]
    #[arg(long = "targets", value_name = "PUBLIC", num_args = 1..)]
    targets: Vec<String>,
    /// Signatures of those keys that the targets need
    #[arg(long, value_name = "N", default_value_t = 1, requires = "targets")]
    targets_threshold: u32,
    /// Give the targets one new key in the catalog instead
    #[arg(long, conflicts_with = "targets")]
    targets_here: bool,
    /// File to be signed (created, never replaced)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl InitArgs {
    /// Returns the file to write, and the change of the keys.
    pub(super) fn read(self) -> Result<(PathBuf, RootChange), Failure> {
        let root = keys(&self.root, self.root_threshold)?;
        let root = if self.root_here { NewKeys::Here } else { root };
        let targets = keys(&self.targets, self.targets_threshold)?;
        let targets = if self.targets_here { NewKeys::Here } else { targets };
        Ok((self.out, RootChange { root, targets }))
    }
}

fn keys(named: &[String], threshold: u32) -> Result<NewKeys, Failure> {
    if named.is_empty() {
        return Ok(NewKeys::Kept);
    }
    let keys = named.iter().map(|name| key(name)).collect::<Result<_, _>>()?;
    Ok(NewKeys::Elsewhere { keys, threshold })
}

/// Reads a public half: hex, or a file with PEM or hex.
fn key(name: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = read_public(name) {
        return Ok(key);
    }
    let path = Path::new(name);
    let text = std::fs::read(path).map_err(|error| Failure::local("read", path, &error))?;
    let text = String::from_utf8_lossy(&text);
    read_public(&text).map_err(|error| Failure::new(Exit::Usage, format!("{name}: {error}")))
}
