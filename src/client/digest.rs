//! Digests of files on this disk.
//!
//! Everything here blocks; callers are on a thread for that.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::Failure;
use crate::file_system;
use crate::model::Digest;

const BUFFER: usize = 1024 * 1024;

/// The digest of a file that is there already; none if there is none, or not of this size.
pub fn digest_of(path: &Path, size: u64) -> Result<Option<Digest>, Failure> {
    let digest = || {
        let mut file = match file_system::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() != size {
            return Ok(None);
        }
        of(&mut file).map(Some)
    };
    digest().map_err(|error| Failure::local("read", path, &error))
}

/// The digest of what can be read.
pub fn of(source: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    hash(source, &mut hasher)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// From where it stands to its end; answers how many bytes that were.
pub fn hash(source: &mut impl Read, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        hasher.update(&buffer[..count]);
        total += count as u64;
    }
}
