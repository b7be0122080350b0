//! What belongs into a channel's folder: the files of revisions, and what imagedepot itself writes beside them.
//!
//! The list is one of its own and not the program's: whoever reads the tree relies on it.

use std::collections::BTreeSet;

/// What imagedepot writes into every channel's folder.
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

/// Whether a path of the tree is that of no revision's file.
pub fn is_document(path: &str) -> bool {
    DOCUMENTS.contains(&path.rsplit('/').next().unwrap_or(path))
}
