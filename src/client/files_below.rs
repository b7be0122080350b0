//! What lies in a folder and in those below it.

use std::io;
use std::path::Path;

/// Everything but the folders themselves, sorted, with `/` between folders and file. Links are not followed: each is
/// named as what it is. Names that are no Unicode are shown with a sign in place of what cannot be read.
pub fn files_below(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), name + "/"));
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}
