//! The destination of a file, determined by its name alone.

use crate::catalog::{Catalog, Error, Result};
use crate::model::{FileRole, ImageName};

/// The length limit of a file's name on Windows, in bytes.
const LONGEST_NAME: usize = 260;

/// The extensions, longest first: without its extension, `x.ckm.index` is `x` and not `x.ckm`.
const EXTENSIONS: [(&str, FileRole); 3] =
    [(".ckm.index", FileRole::Index), (".index", FileRole::Index), (".ckm", FileRole::Ckm)];

/// The file that a BITS upload is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The file's name, as requested.
    pub file_name: String,
    pub image: ImageName,
    pub role: FileRole,
}

impl Catalog {
    /// Reads the part of a request's path below the tree's root, as it was sent.
    ///
    /// It has to be one plain file name: no folder, no encoded characters, nothing that a file system could read as
    /// more than a name. Channels' folders are not valid destinations, because revisions get there by promotion.
    pub fn bits_destination(&self, path: &str) -> Result<Destination> {
        let refused = |reason: &str| Error::invalid("destination", reason);
        if path.len() > LONGEST_NAME || !path.bytes().all(is_plain) || path.starts_with('.') {
            return Err(refused("must be one plain file name below the tree's root"));
        }
        let (name, role) = EXTENSIONS
            .iter()
            .find_map(|(extension, role)| Some((without(path, extension)?, *role)))
            .ok_or_else(|| refused("must be NAME.ckm, NAME.ckm.index or NAME.index"))?;
        let image = self.rules().bits.name_pattern.image(name);
        let image = image.ok_or_else(|| refused("bits.name_pattern finds no image in the name"))?;
        Ok(Destination { file_name: path.to_owned(), image, role })
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#"/\:*?"<>|%"#.contains(&byte)
}

/// Returns the name before an extension, which may be in any case: Windows also writes `.CKM`.
fn without<'a>(name: &'a str, extension: &str) -> Option<&'a str> {
    let stem = name.len().checked_sub(extension.len()).filter(|length| *length > 0)?;
    let (stem, end) = name.split_at_checked(stem)?;
    end.eq_ignore_ascii_case(extension).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_taken_off_in_any_case_and_leaves_something() {
        assert_eq!(without("x.CKM", ".ckm"), Some("x"));
        assert_eq!(without("x.ckm.ckm", ".ckm"), Some("x.ckm"));
        assert_eq!(without(".ckm", ".ckm"), None);
        assert_eq!(without("ckm", ".ckm"), None);
        assert_eq!(without("x.vhdx", ".ckm"), None);
    }
}
