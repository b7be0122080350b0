//! What an administrator puts on client computers ahead of their first start: the pre-staging kit.
//!
//! MED-V takes its first image from two folders whose names it fixes, instead of the network. A kit is one
//! revision's files in these folders, and what sets them up at a client computer: scripts, registry values,
//! digests and words. Everything here is text made from values; nothing is read or written. The server sends
//! a kit as an archive (`api::prestage`), the command line lays one out on a disk (`client::prestage`), and both
//! ask here what is in it, so that the two are alike.
//!
//! Reading order: [`Kit`], then what it holds: [`location`] (where it is going to lie), [`rights`] (who may do
//! what there), `script` (what the person runs), `registry`, [`sums`] (what is checked).

pub mod location;
mod registry;
pub mod rights;
mod script;
pub mod sums;
mod template;
#[cfg(test)]
mod tests;

use crate::model::Digest;
use location::Location;
use rights::UsersMay;

/// The folder of all images of a client computer. MED-V fixes the name.
pub const IMAGES: &str = "MED-V Images";

/// The folder in it that the first image is taken from. MED-V fixes the name.
pub const PRESTAGED: &str = "PrestagedImages";

/// The words for the person at the client computer; the first document that is written.
pub const READ_ME: &str = "README.txt";

/// What Windows takes as a path, in UTF-16 units, and as a folder's.
const LONGEST_PATH: usize = 259;
const LONGEST_FOLDER: usize = 247;

/// What a script adds to a file's name while it is copied.
const WHILE_COPIED: &str = ".part";

/// Why there can be no such kit; the sentence says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// One revision, ready to be set up at a place.
#[derive(Debug, Clone)]
pub struct Kit {
    image: String,
    revision: u64,
    /// In the order in which they appear: the index last.
    files: Vec<KitFile>,
    location: Location,
    users_may: UsersMay,
}

/// A file of the revision, as the kit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitFile {
    name: String,
    size: u64,
    digest: Digest,
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

    fn is_index(&self) -> bool {
        sums::is_index(&self.name)
    }
}

/// One thing in a kit. Paths have `/` between folders and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    Folder(String),
    /// A file of the revision, whose bytes are elsewhere.
    File(&'a KitFile),
    /// Something that is made for this kit.
    Document {
        path: &'static str,
        bytes: Vec<u8>,
    },
}

impl Content<'_> {
    pub fn path(&self) -> String {
        match self {
            Self::Folder(path) => path.clone(),
            Self::File(file) => file.path(),
            Self::Document { path, .. } => (*path).to_owned(),
        }
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

    /// Everything, in the order in which it is to appear: the index after all others, for a computer that finds
    /// it takes the image as complete, and last the digests, by which a kit is known to be whole.
    pub fn contents(&self) -> Vec<Content<'_>> {
        let mut contents = vec![
            Content::Folder(IMAGES.to_owned()),
            Content::Folder(format!("{IMAGES}/{PRESTAGED}")),
        ];
        let (indexes, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|file| file.is_index());
        contents.extend(others.into_iter().map(Content::File));
        let documents = self.documents();
        let sums = sums::write(self, &documents);
        let document = |(path, bytes)| Content::Document { path, bytes };
        contents.extend(documents.into_iter().map(document));
        contents.extend(indexes.into_iter().map(Content::File));
        contents.push(document((sums::NAME, sums)));
        contents
    }

    fn documents(&self) -> Vec<(&'static str, Vec<u8>)> {
        vec![
            (READ_ME, script::read_me(self)),
            ("prestage.cmd", script::command(self)),
            ("prestage.ps1", script::power_shell(self)),
            ("PrestagedImagesPath-x86.reg", registry::file(registry::X86, &self.location)),
            ("PrestagedImagesPath-x64.reg", registry::file(registry::X64, &self.location)),
        ]
    }
}
