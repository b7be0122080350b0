//! Takes over a folder of images that was kept by another system, such as the `MEDVImages` of an IIS: its files become
//! revisions.
//!
//! The names decide: `bits.name_pattern` or another pattern finds the image, and its group `revision` the number. Every
//! file is read for its digest. Files keep their dates. If the folder is the tree itself, or if it is on the store's
//! disk and linking is requested, they also keep their places: no byte is copied, and no client downloads again from
//! the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::transfer::{IncomingFile, IncomingRevision, Numbering, Source};
use crate::catalog::{Catalog, Result};
use crate::file_system;
use crate::model::{FileRole, ImageKind, ImageName, Labels, NamePattern};
use crate::storage::StorageError;
use crate::storage::blobs::verify::{ReadPace, digest_of};
use crate::storage::blobs::{BlobReader, ReadFile};

/// The rules for reading a folder.
#[derive(Debug, Clone)]
pub struct TakeOver {
    pub pattern: NamePattern,
    /// The extensions of images with one file, in addition to MED-V's pairs.
    pub extensions: Vec<String>,
    /// Creates hard links to files instead of copying them.
    pub link: bool,
}

/// The contents of a folder.
#[derive(Default)]
pub struct Folder {
    /// The revisions that can be imported, in the order in which to import them.
    pub revisions: Vec<FoundRevision>,
    /// The files that cannot be imported, and why.
    pub left: Vec<String>,
}

/// The files of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRevision {
    pub image: ImageName,
    pub number: Option<i64>,
    pub extension: String,
    pub files: Vec<(FileRole, PathBuf)>,
}

/// Sorts a folder's files into revisions. No file is read.
pub fn sort(folder: &Path, order: &TakeOver) -> Result<Folder> {
    let fail = |error| StorageError::file(folder.display(), error);
    let mut found = Folder::default();
    // Revisions without a number get the next one, and come after those that have one.
    let mut groups: BTreeMap<(String, bool, Option<i64>, String), FoundRevision> = BTreeMap::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links are checked when their files are read.
        match std::fs::metadata(entry.path()) {
            Ok(file) if file.is_file() => names.push(name),
            Ok(folder) if folder.is_dir() => {
                found
                    .left
                    .push(format!("{name}: a folder, which is not imported; import it separately"));
            }
            Ok(_) => found.left.push(format!("{name}: not a file")),
            Err(error) => found.left.push(format!("{name}: {error}")),
        }
    }
    names.sort_unstable();
    for name in names {
        let Some((stem, extension, role)) = order.take_apart(&name) else {
            found.left.push(format!("{name}: not a file of an image"));
            continue;
        };
        let Some((image, number)) = order.pattern.image_and_revision(stem) else {
            found.left.push(format!("{name}: the pattern finds no image in this name"));
            continue;
        };
        let key = (image.key(), number.is_none(), number, extension.clone());
        let revision = groups.entry(key).or_insert_with(|| FoundRevision {
            image,
            number,
            extension,
            files: Vec::new(),
        });
        revision.files.push((role, folder.join(name)));
    }
    for revision in groups.into_values() {
        let is_whole = revision.kind().roles().iter().all(|role| revision.has(*role));
        if is_whole && revision.files.len() == revision.kind().roles().len() {
            found.revisions.push(revision);
        } else {
            let names = revision.files.iter().filter_map(|(_, path)| path.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            found.left.push(format!("{}: must be one .ckm and its .ckm.index", names.join(", ")));
        }
    }
    Ok(found)
}

impl TakeOver {
    /// Splits a name into stem, extension and role.
    fn take_apart<'a>(&self, name: &'a str) -> Option<(&'a str, String, FileRole)> {
        // Names on Windows are not case-sensitive.
        let without = |end: &str| {
            let start = name.len().checked_sub(end.len())?;
            name.get(start..)?.eq_ignore_ascii_case(end).then(|| &name[..start])
        };
        if let Some(stem) = without(".ckm.index").or_else(|| without(".index")) {
            return Some((stem, "ckm".to_owned(), FileRole::Index));
        }
        let (stem, extension) = name.rsplit_once('.')?;
        if extension.eq_ignore_ascii_case("ckm") {
            return Some((stem, "ckm".to_owned(), FileRole::Ckm));
        }
        let known = self.extensions.iter().find(|known| known.eq_ignore_ascii_case(extension))?;
        Some((stem, known.clone(), FileRole::Image))
    }
}

/// Resolves a symbolic link to a file in the same folder. A link that leads out of it could publish a secret file.
fn itself(path: &Path) -> std::io::Result<PathBuf> {
    if !std::fs::symlink_metadata(path)?.is_symlink() {
        return Ok(path.to_owned());
    }
    let (folder, target) = (path.parent().unwrap_or(path).canonicalize()?, path.canonicalize()?);
    if target.starts_with(&folder) {
        return Ok(target);
    }
    Err(std::io::Error::other(
        "a symbolic link that leads out of the folder is not followed: put the file itself there",
    ))
}

impl FoundRevision {
    pub fn kind(&self) -> ImageKind {
        if self.extension == "ckm" { ImageKind::Medv } else { ImageKind::Single }
    }

    fn has(&self, role: FileRole) -> bool {
        self.files.iter().any(|(other, _)| *other == role)
    }
}

impl Catalog {
    /// Reads the files of a revision. Returns what is to be imported.
    pub async fn read_found(
        &self,
        found: &FoundRevision,
        order: &TakeOver,
        numbering: Numbering,
    ) -> Result<IncomingRevision> {
        let (mut files, mut sealed_at) = (Vec::new(), DateTime::UNIX_EPOCH);
        for (role, path) in &found.files {
            let fail = |error| StorageError::file(path.display(), error);
            let path = &itself(path).map_err(fail)?;
            let file = file_system::open(path).map_err(fail)?;
            let metadata = file.metadata().map_err(fail)?;
            let reader = BlobReader::local(Arc::new(file), metadata.len());
            let digest = digest_of(&reader, &mut ReadPace::new(None)).await.map_err(fail)?;
            let modified: DateTime<Utc> = metadata.modified().map_err(fail)?.into();
            // The large file's date: BITS uses it to decide if it can resume.
            if *role != FileRole::Index {
                sealed_at = modified;
            }
            let (path, read) = (path.clone(), ReadFile::of(&metadata));
            let source =
                if order.link { Source::Link { path, read, reader } } else { Source::Copy(reader) };
            files.push(IncomingFile { role: *role, size: metadata.len(), digest, source });
        }
        let names: Vec<_> =
            found.files.iter().map(|(_, path)| path.display().to_string()).collect();
        Ok(IncomingRevision {
            image: found.image.clone(),
            kind: found.kind(),
            extension: found.extension.clone(),
            number: found.number.filter(|_| numbering == Numbering::Own),
            notes: String::new(),
            labels: Labels::new(),
            protected: false,
            created_by: "system:import".to_owned(),
            // Truncated to the precision of the databases.
            sealed_at: chrono::DurationRound::duration_trunc(
                sealed_at,
                chrono::TimeDelta::microseconds(1),
            )
            .unwrap_or(sealed_at),
            files,
            origin: json!({"files": names}),
        })
    }

    /// Reports whether a folder is the tree itself: then its files stay where they are.
    pub fn is_tree(&self, folder: &Path) -> bool {
        let tree = self.tree.local_path("").and_then(|tree| tree.canonicalize().ok());
        tree.is_some() && tree == folder.canonicalize().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_files_are_sorted_into_revisions() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "win7_1.ckm",
            "win7_1.ckm.index",
            "win7_10.ckm",
            "win7_10.index",
            "win7_2.ckm",
            "lab.ckm",
            "lab.ckm.index",
            "lab_3.ckm",
            "lab_3.ckm.index",
            "linux_3.qcow2",
            "readme.txt",
            "web.config",
        ] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let order = TakeOver {
            pattern: NamePattern::WITH_REVISION.parse().unwrap(),
            extensions: vec!["qcow2".to_owned()],
            link: false,
        };
        let found = sort(folder.path(), &order).unwrap();
        let revisions: Vec<_> = found
            .revisions
            .iter()
            .map(|revision| (revision.image.as_str(), revision.number, revision.files.len()))
            .collect();
        assert_eq!(
            revisions,
            [
                ("lab", Some(3), 2),
                ("lab", None, 2),
                ("linux", Some(3), 1),
                ("win7", Some(1), 2),
                ("win7", Some(10), 2)
            ]
        );
        assert_eq!(
            found.left,
            [
                "readme.txt: not a file of an image",
                "web.config: not a file of an image",
                "win7_2.ckm: must be one .ckm and its .ckm.index"
            ]
        );
    }
}
