//! The files that are here already and may have bytes of the one to fetch: other revisions of the image in the folder,
//! and files that the user names.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that may have bytes of the one to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    pub path: PathBuf,
    /// The revision that its name says.
    pub revision: Option<u64>,
}

/// Returns the newest revision of the image of which the folder has a file.
pub fn newest_revision(folder: &Path, image: &str) -> Option<u64> {
    let names = names_in(folder);
    let revisions = names.iter().filter_map(|name| {
        let (stem, rest) = name.split_at_checked(image.len())?;
        let number = rest.strip_prefix('_')?.split('.').next()?;
        stem.eq_ignore_ascii_case(image).then(|| number.parse().ok())?
    });
    revisions.max()
}

/// Returns the seeds of a file, those in the folder with the newest revision first, then the named ones.
pub fn seeds(folder: &Path, file: &str, revision: u64, named: &[PathBuf]) -> Vec<Seed> {
    let mut seeds: Vec<_> = siblings(&names_in(folder), file, revision)
        .map(|(name, number)| Seed { path: folder.join(name), revision: Some(number) })
        .collect();
    seeds.sort_unstable_by_key(|seed| std::cmp::Reverse(seed.revision));
    seeds.extend(named.iter().map(|path| Seed { path: path.clone(), revision: None }));
    seeds
}

/// Finds names that differ from the file's only in the number of the revision.
fn siblings<'a>(
    names: &'a [String],
    file: &'a str,
    revision: u64,
) -> impl Iterator<Item = (&'a str, u64)> {
    let digits = revision.to_string();
    let around = file.rfind(&digits).map(|at| (&file[..at], &file[at + digits.len()..]));
    names.iter().filter_map(move |name| {
        let (before, after) = around?;
        let number = name.strip_prefix(before)?.strip_suffix(after)?;
        let number = number.parse().ok().filter(|number| *number != revision)?;
        Some((name.as_str(), number))
    })
}

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
            "win7_11.ckm.index",
            "win7_12.ckm.partial",
            "win70_3.ckm",
            "win7_.ckm",
            "win7_x.ckm",
        ]);
        let named = [PathBuf::from("/somewhere/old.ckm")];
        let seeds = seeds(folder.path(), "win7_12.ckm", 12, &named);
        let found: Vec<_> = seeds.iter().map(|seed| seed.revision).collect();
        assert_eq!(found, [Some(11), Some(9), None]);
        assert_eq!(newest_revision(folder.path(), "WIN7"), Some(12));
        assert_eq!(newest_revision(folder.path(), "xp"), None);
        assert_eq!(newest_revision(Path::new("/nowhere"), "win7"), None);
    }
}
