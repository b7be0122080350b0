//! The name of the file in which a push is recorded.

use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use super::super::image::Image;
use super::super::source::Source;

/// Returns a key that is the same only for the same command line in the same folder.
pub fn key(server: &str, image: &Image, sources: &[Source]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(server.as_bytes());
    add(image.name.as_bytes());
    add(image.kind.to_string().as_bytes());
    for source in sources {
        add(source.role.as_bytes());
        add(source.absolute_path().as_os_str().as_bytes());
    }
    hex::encode(&hasher.finalize()[..16])
}
