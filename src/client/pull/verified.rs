//! Notes at a file that it was verified: an extended attribute with its digest, size and date.
//!
//! A pull every quarter of an hour must not read twenty gigabytes just to find that nothing is new. A change of the
//! file changes its date, and the note is void then; a copy of the file has no note. If the file system does not
//! support attributes, the file is read every time. `--check` finds bytes that the disk itself has changed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use crate::file_system;
use crate::model::Digest;

const NAME: &str = "user.imagedepot.verified";

/// More than the length of any note.
const LONGEST: usize = 256;

/// Reports whether the file is unchanged since it was found to have this digest.
pub fn is_as_noted(path: &Path, size: u64, digest: &Digest) -> bool {
    let read = || -> io::Result<bool> {
        let file = file_system::open(path)?;
        let mut noted = [0; LONGEST];
        let length = fgetxattr(&file, NAME, &mut noted[..])?;
        let metadata = file.metadata()?;
        Ok(metadata.len() == size
            && noted.get(..length) == Some(note(&metadata, digest).as_bytes()))
    };
    read().unwrap_or(false)
}

/// Writes the note. If it cannot be written, there is none.
pub fn write_note(path: &Path, digest: &Digest) {
    let write = || -> io::Result<()> {
        let file: File = file_system::open(path)?;
        let note = note(&file.metadata()?, digest);
        Ok(fsetxattr(&file, NAME, note.as_bytes(), XattrFlags::empty())?)
    };
    let _only_a_help = write();
}

fn note(metadata: &std::fs::Metadata, digest: &Digest) -> String {
    let (size, seconds, nanoseconds) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    format!("1 {digest} {size} {seconds}.{nanoseconds:09}")
}
