//! Determines the image's kind and each file's role from the given files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client::error::Failure;
use crate::file_system;

/// The kind of an image, named as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A .ckm file and its .ckm.index, both required
    Medv,
    /// One file of any sort: vhdx, qcow2, iso, wim
    Single,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Medv => "medv",
            Self::Single => "single",
        })
    }
}

/// A local file and the role it is to fill.
#[derive(Debug, PartialEq, Eq)]
pub struct LocalFile {
    pub role: &'static str,
    pub path: PathBuf,
}

const MEDV_WANTS: &str = "an image of kind medv consists of two files: one .ckm and its .ckm.index";

/// Checks that all files can be read, before the server is asked to create anything.
pub fn must_be_readable(paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            return Err(Failure::usage(format!("{} is not a file", path.display())));
        }
        file_system::open_named(path).map_err(|error| Failure::local("read", path, &error))?;
    }
    Ok(())
}

/// Guesses the kind from the files' names.
pub fn guess_kind(paths: &[PathBuf]) -> Result<Kind, Failure> {
    match paths {
        [one] if !is_ckm(one) && !is_index(one) => Ok(Kind::Single),
        [_, _] => in_roles(Kind::Medv, paths).map(|_| Kind::Medv),
        [_] => Err(Failure::usage(MEDV_WANTS)),
        _ => Err(Failure::usage("an image consists of one file, or of a .ckm and its .ckm.index")),
    }
}

/// Returns the files with their roles, in the order in which they are sent: the large one first, the index last.
pub fn in_roles(kind: Kind, paths: &[PathBuf]) -> Result<Vec<LocalFile>, Failure> {
    match (kind, paths) {
        (Kind::Single, [one]) => Ok(vec![LocalFile { role: "image", path: one.clone() }]),
        (Kind::Single, _) => Err(Failure::usage("an image of kind single consists of one file")),
        (Kind::Medv, [ckm, index] | [index, ckm]) if is_ckm(ckm) && is_index(index) => Ok(vec![
            LocalFile { role: "ckm", path: ckm.clone() },
            LocalFile { role: "index", path: index.clone() },
        ]),
        (Kind::Medv, _) => Err(Failure::usage(MEDV_WANTS)),
    }
}

/// Returns the extension for the files of a new image, or none if the image is of kind `medv` or the file has no
/// extension.
pub fn extension(kind: Kind, paths: &[PathBuf]) -> Result<Option<String>, Failure> {
    let [file] = paths else { return Ok(None) };
    if kind == Kind::Medv {
        return Ok(None);
    }
    match file.extension().map(|extension| extension.to_str()) {
        None => Ok(None),
        Some(Some(extension)) => Ok(Some(extension.to_ascii_lowercase())),
        Some(None) => {
            Err(Failure::usage(format!("the extension of {} is not UTF-8", file.display())))
        }
    }
}

fn is_ckm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ckm"))
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("index"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_ckm_and_its_index_make_a_medv_image_in_any_order_and_case() {
        for names in [["a.ckm", "a.ckm.index"], ["a.index", "a.ckm"], ["A.CKM.INDEX", "A.CKM"]] {
            let paths = paths(&names);
            assert_eq!(guess_kind(&paths).unwrap(), Kind::Medv, "{names:?}");
            let roles: Vec<_> =
                in_roles(Kind::Medv, &paths).unwrap().iter().map(|file| file.role).collect();
            assert_eq!(roles, ["ckm", "index"]);
        }
    }

    #[test]
    fn any_other_file_alone_makes_a_single_image_with_its_extension() {
        let disk = paths(&["/srv/Disk.QCOW2"]);
        assert_eq!(guess_kind(&disk).unwrap(), Kind::Single);
        assert_eq!(extension(Kind::Single, &disk).unwrap().as_deref(), Some("qcow2"));
        assert_eq!(extension(Kind::Single, &paths(&["disk"])).unwrap(), None);
    }

    #[test]
    fn half_a_medv_image_and_heaps_of_files_are_refused() {
        for names in [&["a.ckm"][..], &["a.index"], &["a.ckm", "b.ckm"], &["a", "b", "c"], &[]] {
            assert!(guess_kind(&paths(names)).is_err(), "{names:?}");
        }
        assert!(in_roles(Kind::Single, &paths(&["a.ckm", "a.ckm.index"])).is_err());
    }

    #[test]
    fn a_lone_ckm_can_be_declared_single() {
        assert_eq!(in_roles(Kind::Single, &paths(&["a.ckm"])).unwrap()[0].role, "image");
    }
}
