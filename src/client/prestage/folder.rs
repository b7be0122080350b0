//! The kit's folder on this disk. Nothing in it is ever half of what its name says.
//!
//! On Linux the folders follow the intent of the lists that the scripts set on Windows: the owner may do everything,
//! others read. Files are read-only for everybody.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::exit_code::Exit;
use super::super::failure::Failure;
use super::super::files_below::files_below;
use crate::prestage::{Content, sums};

const FOLDER: u32 = 0o755;
const FILE: u32 = 0o444;

/// What `pull` and this leave of something that is not finished.
const UNFINISHED: [&str; 2] = [".partial", ".partial.etag"];

/// Makes sure that the folder can become this kit and nothing else, and that it does not look finished from here on.
pub(super) fn begin(to: &Path, contents: &[Content<'_>]) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| Failure::local("make", to, &error))?;
    let own: Vec<String> = contents.iter().map(path_of).collect();
    let there = files_below(to).map_err(|error| Failure::local("read", to, &error))?;
    if let Some(other) = there.iter().find(|path| !own.iter().any(|own| belongs(path, own))) {
        let message = format!(
            "{} has something else in it, {other}; choose a folder that is empty or has this kit",
            to.display()
        );
        return Err(Failure::new(Exit::Conflict, message));
    }
    let sums = to.join(sums::NAME);
    match fs::remove_file(&sums) {
        Ok(()) => sync_folder(to),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::local("remove", &sums, &error)),
    }
}

fn path_of(content: &Content<'_>) -> String {
    match content {
        Content::Folder(path) => path.clone(),
        Content::File(file) => file.path(),
        Content::Document { path, .. } => (*path).to_owned(),
    }
}

fn belongs(path: &str, own: &str) -> bool {
    path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || UNFINISHED.contains(&rest))
}

pub(super) fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(FOLDER)))
        .map_err(|error| Failure::local("make", folder, &error))
}

pub(super) fn mark_read_only(file: &Path) -> Result<(), Failure> {
    fs::set_permissions(file, Permissions::from_mode(FILE))
        .map_err(|error| Failure::local("mark read-only", file, &error))
}

/// On stable storage, read-only and under its name when this returns.
pub(super) fn write(to: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (path, unfinished) = (to.join(name), to.join(format!("{name}{}", UNFINISHED[0])));
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(FILE))?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(|error: io::Error| Failure::local("write", &path, &error))?;
    sync_folder(to)
}

fn sync_folder(folder: &Path) -> Result<(), Failure> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Failure::local("sync", folder, &error))
}
