//! The files that are here already and may have bytes of the one to fetch: other revisions of the image in its folder or
//! others, and files that the user names.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that may have bytes of the one to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    pub path: PathBuf,
    /// The revision that its name says; none for the file itself, which may be damaged, and for named files.
    pub revision: Option<u64>,
}

/// The most other revisions that are read for their chunks: each costs a reading of the whole file.
const MOST_SIBLINGS: usize = 3;

/// Returns the newest other revision of a file that the folder has.
pub fn newest_other_revision(folder: &Path, file: &str, revision: u64) -> Option<u64> {
    siblings(&names_in(folder), file, revision).map(|(_, number)| number).max()
}

/// Returns the seeds of a file: itself, if the first folder has it and it is not what it should be; the newest other
/// revisions in the folders; the named ones.
pub fn seeds(folders: &[&Path], file: &str, revision: u64, named: &[PathBuf]) -> Vec<Seed> {
    let in_folder = |folder: &&Path| -> Vec<Seed> {
        siblings(&names_in(folder), file, revision)
            .map(|(name, number)| Seed { path: folder.join(name), revision: Some(number) })
            .collect()
    };
    let mut siblings: Vec<_> = folders.iter().flat_map(in_folder).collect();
    siblings.sort_unstable_by_key(|seed| std::cmp::Reverse(seed.revision));
    siblings.truncate(MOST_SIBLINGS);
    let itself = folders.first().map(|folder| folder.join(file)).filter(|path| path.is_file());
    let unnumbered = |path: PathBuf| Seed { path, revision: None };
    let named = named.iter().cloned().map(unnumbered);
    itself.map(unnumbered).into_iter().chain(siblings).chain(named).collect()
}

/// Finds names that differ from the file's only in the number of the revision.
fn siblings<'a>(
    names: &'a [String],
    file: &'a str,
    revision: u64,
) -> impl Iterator<Item = (&'a str, u64)> {
    let digits = revision.to_string();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    // The extension may have the same digits, as qcow2 has.
    let around: Vec<_> = file
        .match_indices(&digits)
        .map(|(at, _)| (&file[..at], &file[at + digits.len()..]))
        .filter(|(before, after)| {
            !is_digit(before.as_bytes().last()) && !is_digit(after.as_bytes().first())
        })
        .collect();
    names.iter().filter_map(move |name| {
        around.iter().find_map(|(before, after)| {
            let text = name.strip_prefix(before)?.strip_suffix(after)?;
            let number: u64 = text.parse().ok()?;
            let is_number = number != revision && number.to_string() == text && number < MOST;
            is_number.then_some((name.as_str(), number))
        })
    })
}

/// Revisions have fewer digits.
const MOST: u64 = 10_u64.pow(15);

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    #[test]
    fn other_revisions_in_the_folder_are_seeds_the_newest_first() {
        let folder = folder(&[
            "win7_9.ckm",
            "win7_11.ckm",
            "win7_10.ckm",
            "win7_1.ckm",
            "win7_11.ckm.index",
            "win7_12.ckm.partial",
            "win7_012.ckm",
            "win7_+8.ckm",
            "win7_9999999999999999999.ckm",
            "win70_3.ckm",
            "win7_.ckm",
            "win7_x.ckm",
        ]);
        let named = [PathBuf::from("/somewhere/old.ckm")];
        let numbers = || {
            let seeds = seeds(&[folder.path()], "win7_12.ckm", 12, &named);
            seeds.iter().map(|seed| seed.revision).collect::<Vec<_>>()
        };
        assert_eq!(numbers(), [Some(11), Some(10), Some(9), None]);
        assert_eq!(newest_other_revision(folder.path(), "win7_12.ckm", 12), Some(11));
        assert_eq!(newest_other_revision(folder.path(), "xp_12.ckm", 12), None);
        assert_eq!(newest_other_revision(Path::new("/nowhere"), "win7_12.ckm", 12), None);
        // A damaged file has most of itself.
        fs::write(folder.path().join("win7_12.ckm"), "damaged").unwrap();
        assert_eq!(numbers(), [None, Some(11), Some(10), Some(9), None]);
    }

    #[test]
    fn the_digits_of_an_extension_are_not_the_revision() {
        let folder = folder(&["disk_1.qcow2", "disk_2.qcow2", "disk_3.qcow2"]);
        let newest = |file, revision| newest_other_revision(folder.path(), file, revision);
        assert_eq!(newest("disk_2.qcow2", 2), Some(3));
        assert_eq!(newest("disk_22.qcow2", 22), Some(3));
    }
}
