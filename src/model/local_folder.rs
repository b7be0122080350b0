//! A folder on this machine, as a user typed it. To the operating system, `sftp://nas/x` and `nas:/x` are valid folder
//! names too: data that is meant for another machine would end up below the working folder, without an error.

use std::path::{Path, PathBuf};

/// The reason why a text is not accepted as a folder on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLocal {
    #[error("{0}:// begins an address, but a folder on this machine is expected")]
    Address(String),
    #[error(
        "{host}: is the name of another machine, but a folder on this machine is expected; write ./{path} for a \
         folder of that name"
    )]
    Machine { host: String, path: String },
    #[error("the path is empty")]
    Empty,
}

/// Returns the path unchanged if it can only mean this machine. Used by clap.
pub fn local_folder(path: PathBuf) -> Result<PathBuf, NotLocal> {
    // A path that is not valid Unicode is no address of another machine.
    match path.to_str() {
        Some(text) => check(text).map(|()| path),
        None => Ok(path),
    }
}

/// Applies the same rule as rsync and scp: a colon before the first slash ends the name of a machine.
fn check(text: &str) -> Result<(), NotLocal> {
    if text.is_empty() {
        return Err(NotLocal::Empty);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(NotLocal::Address(scheme.to_owned()));
    }
    match text.split_once(':') {
        Some((host, _)) if !host.contains('/') => {
            Err(NotLocal::Machine { host: host.to_owned(), path: text.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Returns the device that the path is on, or will be on once it is created. Returns none if that cannot be determined.
pub fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|folder| folder.metadata().ok()).map(|folder| folder.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_another_machine_is_no_folder() {
        for text in ["sftp://nas/x", "http://nas/x", "root@nas:/x", "nas:x", "s3:x", "a/b://c", ""]
        {
            assert!(local_folder(text.into()).is_err(), "{text}");
        }
        for text in ["/srv/x", "x", ".", "./nas:x", "/srv/2026-11-30T10:00:00", "a/b:c"] {
            assert_eq!(local_folder(text.into()), Ok(text.into()));
        }
    }
}
