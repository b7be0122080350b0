//! The short digest of pieces, chunks and indexes.

use std::fmt;

/// The first 128 bits of a BLAKE3 digest.
///
/// They find accidents: a wrong base, a damaged file. Whoever can make two chunks of one digest, at a cost of 2^64, gains
/// nothing: the SHA-256 of the whole file decides in the end, and that is not shortened. All 256 bits would make a chunk
/// list nearly twice as large.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Check([u8; Self::LENGTH]);

impl Check {
    pub const LENGTH: usize = 16;

    pub fn of(bytes: &[u8]) -> Self {
        Self::from(&blake3::hash(bytes))
    }

    pub(super) const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<&blake3::Hash> for Check {
    fn from(hash: &blake3::Hash) -> Self {
        let mut bytes = [0; Self::LENGTH];
        bytes.copy_from_slice(&hash.as_bytes()[..Self::LENGTH]);
        Self(bytes)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
