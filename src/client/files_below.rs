//! Lists the files in a folder and in the folders below it.

use std::fs::ReadDir;
use std::io;
use std::path::{Path, PathBuf};

/// The files found, sorted, with `/` between folders and file. An empty folder is listed too, with a `/` at its end.
#[derive(Debug, Default)]
pub struct Below {
    pub files: Vec<String>,
    /// The folders below that could not be read, and why.
    pub unreadable: Vec<(String, io::Error)>,
}

/// Lists everything below a folder. Links are not followed but listed as files. Characters of a name that are not valid
/// Unicode are replaced.
///
/// # Errors
///
/// Fails only if the folder itself cannot be read.
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

/// Lists the files like [`look_below`], but fails if any folder below cannot be read.
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
