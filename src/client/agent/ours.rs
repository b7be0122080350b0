//! Checks that nobody else decides what the agent uses: who may write a folder, or one on the way to it, may put other
//! files there, and who may write a file of settings or trust says what is run and believed.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::client::error::Failure;

/// The permissions of others to write: of the group and of all.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// In such a folder, nobody renames what belongs to somebody else.
const STICKY: u32 = 0o1000;

/// Refuses a folder that others may write, or replace by renaming one on the way to it. It exists.
pub fn folder_must_be_ours(folder: &Path) -> Result<(), Failure> {
    let folder =
        fs::canonicalize(folder).map_err(|error| Failure::local("read", folder, &error))?;
    for (height, place) in folder.ancestors().enumerate() {
        let about = fs::metadata(place).map_err(|error| Failure::local("read", place, &error))?;
        let is_shared = height > 0 && about.permissions().mode() & STICKY != 0;
        must_be_ours(place, &about, is_shared)?;
    }
    Ok(())
}

/// Refuses a file that others may write.
pub fn file_must_be_ours(path: &Path) -> Result<(), Failure> {
    let about = fs::metadata(path).map_err(|error| Failure::local("read", path, &error))?;
    must_be_ours(path, &about, false)
}

fn must_be_ours(path: &Path, about: &Metadata, is_shared: bool) -> Result<(), Failure> {
    let us = rustix::process::geteuid().as_raw();
    let shown = path.display();
    if about.permissions().mode() & WRITABLE_BY_OTHERS != 0 && !is_shared {
        let words = format!("{shown} may be written by others; run `chmod go-w {shown}`");
        return Err(Failure::usage(words));
    }
    if about.uid() != us && about.uid() != 0 {
        return Err(Failure::usage(format!("{shown} belongs to another user")));
    }
    Ok(())
}
