//! The contents of a folder.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::channel_folder::is_signed;

/// Every regular file below `root` by its path relative to it, with what the file system knows.
///
/// Files that vanish while this looks are left out: the server works on.
pub fn files_below(root: &Path) -> BTreeMap<String, Metadata> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let relative = path.strip_prefix(root).expect("found below the root");
                found.insert(relative.to_string_lossy().into_owned(), metadata);
            }
        }
    }
    found
}

/// The same of a tree, without its signed metadata: that changes with everything, and has tests of its own.
pub fn published_below(tree: &Path) -> BTreeMap<String, Metadata> {
    files_below(tree).into_iter().filter(|(path, _)| !is_signed(path)).collect()
}

/// Returns what changes if a file is touched in any way except by a new link: its inode and both times.
pub fn fingerprint(path: &Path) -> (u64, i64, i64, i64, i64) {
    let metadata = path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// The permission bits of a file or folder.
pub fn mode(path: &Path) -> u32 {
    let metadata = path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.mode() & 0o7777
}
