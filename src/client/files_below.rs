//! What lies in a folder and in those below it.

use std::fs::ReadDir;
use std::io;
use std::path::{Path, PathBuf};

/// What was found, sorted, with `/` between folders and file; a folder with nothing in it ends in one.
#[derive(Debug, Default)]
pub struct Below {
    pub files: Vec<String>,
    /// Folders below that could not be looked into, and why.
    pub unreadable: Vec<(String, io::Error)>,
}

/// Everything. Links are not followed: each is named as what it is. Names that are no Unicode are shown with a sign in
/// place of what cannot be read. The error is that of the folder itself.
pub fn look_below(folder: &Path) -> io::Result<Below> {
    let mut below = Below::default();
    let mut folders = vec![(folder.to_owned(), String::new(), std::fs::read_dir(folder)?)];
    while let Some((folder, prefix, entries)) = folders.pop() {
        match look_into(entries, &folder, &prefix, &mut below.files) {
            Ok(deeper) => {
                folders.extend(deeper.into_iter().filter_map(
                    |(path, name)| match std::fs::read_dir(&path) {
                        Ok(entries) => Some((path, name, entries)),
                        Err(error) => {
                            below.unreadable.push((name, error));
                            None
                        }
                    },
                ));
            }
            Err(error) => below.unreadable.push((prefix, error)),
        }
    }
    below.files.sort();
    Ok(below)
}

/// As [`look_below`]; a folder below that cannot be read is an error.
pub fn files_below(folder: &Path) -> io::Result<Vec<String>> {
    let below = look_below(folder)?;
    below.unreadable.into_iter().next().map_or(Ok(below.files), |(_, error)| Err(error))
}

fn look_into(
    entries: ReadDir,
    folder: &Path,
    prefix: &str,
    files: &mut Vec<String>,
) -> io::Result<Vec<(PathBuf, String)>> {
    let (mut deeper, mut is_empty) = (Vec::new(), true);
    for entry in entries {
        let entry = entry?;
        is_empty = false;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            deeper.push((folder.join(entry.file_name()), name + "/"));
        } else {
            files.push(name);
        }
    }
    if is_empty && !prefix.is_empty() {
        files.push(prefix.to_owned());
    }
    Ok(deeper)
}
