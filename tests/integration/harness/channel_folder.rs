//! The contents of a channel's folder: the files of revisions, and what imagedepot itself writes beside them.
//!
//! The list is a separate one and not the program's, because readers of the tree rely on it.

use std::collections::BTreeSet;

/// The files that imagedepot writes into every channel's folder.
pub const DOCUMENTS: [&str; 1] = ["channel.json"];

/// The paths in a tree of which these are channels' folders (empty is the root) and these the files of revisions.
pub fn tree_of<'a>(
    folders: impl IntoIterator<Item = &'a str>,
    files: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = files.into_iter().map(str::to_owned).collect();
    for folder in folders {
        let path =
            |name| if folder.is_empty() { str::to_owned(name) } else { format!("{folder}/{name}") };
        paths.extend(DOCUMENTS.map(path));
    }
    paths
}

/// Reports whether a path of the tree is one of its signed metadata.
pub fn is_signed(path: &str) -> bool {
    path.starts_with("tuf/")
}

/// Reports whether a path of the tree is one of a file that belongs to no revision.
pub fn is_document(path: &str) -> bool {
    DOCUMENTS.contains(&path.rsplit('/').next().unwrap_or(path))
}
