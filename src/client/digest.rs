//! Digests of local files.
//!
//! Everything here blocks; callers run it on a thread for blocking work.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::Failure;
use crate::file_system;
use crate::model::Digest;

const BUFFER: usize = 1024 * 1024;

/// Returns the digest of a file, or none if the file does not exist or has another size.
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

/// Returns the digest of everything that can be read from the source.
pub fn of(source: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    hash(source, &mut hasher)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Hashes the source from its current position to its end. Returns the number of bytes.
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
