//! One revision with the place where it is to lie: the names of its files go into scripts, its paths into Windows.

use super::folders::{IMAGES, PRESTAGED};
use super::location::Location;
use super::rights::UsersMay;
use super::sums;
use super::unfit::Unfit;
use crate::model::Digest;

/// What Windows takes as a path, in UTF-16 units, and as a folder's.
const LONGEST_PATH: usize = 259;
const LONGEST_FOLDER: usize = 247;

/// What a script adds to a file's name while it is copied.
const WHILE_COPIED: &str = ".part";

/// One revision, ready to be set up at a place.
#[derive(Debug, Clone)]
pub struct Kit {
    pub(super) image: String,
    pub(super) revision: u64,
    /// In the order in which they appear: the index last.
    pub(super) files: Vec<KitFile>,
    pub(super) location: Location,
    pub(super) users_may: UsersMay,
}

/// A file of the revision, as the kit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    pub(super) name: String,
    size: u64,
    pub(super) digest: Digest,
}

impl KitFile {
    /// `Unfit` for a name that is more than letters, digits, `.`, `_` and `-`: it goes into scripts.
    pub fn new(name: impl Into<String>, size: u64, digest: Digest) -> Result<Self, Unfit> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let may_begin = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(may_begin) && name.chars().all(plain) {
            return Ok(Self { name, size, digest });
        }
        Err(Unfit(format!(
            "a file called {name:?} cannot be pre-staged: letters, digits, '.', '_' and '-' can, and no '.' or '-' in front"
        )))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where it lies in the kit, with `/` between folders and file.
    pub fn path(&self) -> String {
        format!("{IMAGES}/{PRESTAGED}/{}", self.name)
    }

    pub(super) fn is_index(&self) -> bool {
        sums::is_index(&self.name)
    }
}

impl Kit {
    /// `Unfit` where Windows would not take the path of some file as long as it is.
    pub fn new(
        image: impl Into<String>,
        revision: u64,
        mut files: Vec<KitFile>,
        location: Location,
        users_may: UsersMay,
    ) -> Result<Self, Unfit> {
        files.sort_by_key(KitFile::is_index);
        let kit = Self { image: image.into(), revision, files, location, users_may };
        kit.must_fit()?;
        Ok(kit)
    }

    fn must_fit(&self) -> Result<(), Unfit> {
        let folder = self.location.prestaged();
        let length = |text: &str| text.encode_utf16().count();
        let names = self.files.iter().map(|file| length(&file.name));
        let file = length(&folder) + 1 + names.max().unwrap_or(0) + WHILE_COPIED.len();
        let over = file.saturating_sub(LONGEST_PATH);
        let over = over.max(length(&folder).saturating_sub(LONGEST_FOLDER));
        if over > 0 {
            return Err(Unfit(format!(
                "the location is {over} characters too long: Windows takes {LONGEST_PATH} in a file's path"
            )));
        }
        Ok(())
    }

    pub fn files(&self) -> &[KitFile] {
        &self.files
    }

    /// The first line of `README.txt`, by which a folder is known to have this kit, finished or not.
    pub fn title(&self) -> String {
        format!("{} revision {}: first image of a MED-V client computer", self.image, self.revision)
    }
}
