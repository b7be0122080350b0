//! One revision and the place where it will be installed. The names of its files go into scripts, its paths into
//! Windows.

use super::folders::{IMAGES, PRESTAGED};
use super::location::Location;
use super::rights::UsersMay;
use super::sums;
use super::unfit::Unfit;
use crate::model::Digest;

/// The longest paths of a file and of a folder that Windows accepts, in UTF-16 units.
const LONGEST_PATH: usize = 259;
const LONGEST_FOLDER: usize = 247;

/// The suffix that a script adds to a file's name while it is copied.
const WHILE_COPIED: &str = ".part";

/// One revision, ready to be set up at a place.
#[derive(Debug, Clone)]
pub struct Kit {
    pub(super) image: String,
    pub(super) revision: u64,
    /// The files in the order in which they are written: the index last.
    pub(super) files: Vec<KitFile>,
    pub(super) location: Location,
    pub(super) users_may: UsersMay,
}

/// A file of the revision under its name in the kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    pub(super) name: String,
    size: u64,
    pub(super) digest: Digest,
}

impl KitFile {
    /// Creates a file. The name goes into scripts, so it may contain only letters, digits, `.`, `_` and `-`.
    pub fn new(name: impl Into<String>, size: u64, digest: Digest) -> Result<Self, Unfit> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let may_begin = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.starts_with(may_begin) && name.chars().all(plain) {
            return Ok(Self { name, size, digest });
        }
        Err(Unfit(format!(
            "the file {name:?} cannot be pre-staged: a name may contain only letters, digits, '.', '_' and '-', and may not begin with '.' or '-'"
        )))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the path in the kit, with `/` between folders and file.
    pub fn path(&self) -> String {
        format!("{IMAGES}/{PRESTAGED}/{}", self.name)
    }

    pub(super) fn is_index(&self) -> bool {
        sums::is_index(&self.name)
    }
}

impl Kit {
    /// Creates a kit. Fails if the path of some file is too long for Windows.
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
                "the location is {over} characters too long: Windows allows {LONGEST_PATH} characters in a file's path"
            )));
        }
        Ok(())
    }

    pub fn files(&self) -> &[KitFile] {
        &self.files
    }

    /// Returns the first line of `README.txt`. It shows that a folder has this kit, finished or not.
    pub fn title(&self) -> String {
        format!("{} revision {}: first image of a MED-V client computer", self.image, self.revision)
    }
}
