//! The contents of a kit, in the order in which they are written.

use super::folders::{IMAGES, PRESTAGED};
use super::kit::{Kit, KitFile};
use super::{registry, script, sums};

/// The instructions for the user at the client computer. This is the first document that is written.
pub const READ_ME: &str = "README.txt";

/// One part of a kit. Paths have `/` between folders and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    Folder(String),
    /// A file of the revision, whose bytes are elsewhere.
    File(&'a KitFile),
    /// A document that is made for this kit.
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
    /// Returns everything in the order in which it is to be written. The index comes after all other files, because a
    /// computer that finds it takes the image as complete. The digests come last: a kit that has them is complete.
    pub fn contents(&self) -> Vec<Content<'_>> {
        let mut contents = vec![
            Content::Folder(IMAGES.to_owned()),
            Content::Folder(format!("{IMAGES}/{PRESTAGED}")),
        ];
        let (indexes, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|file| file.is_index());
        contents.extend(others.into_iter().map(Content::File));
        let documents = self.documents();
        let files = self.files.iter().map(|file| (file.path(), file.digest));
        let sums = sums::write(files, &documents);
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
