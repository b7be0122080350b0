//! Blocks of zeros: found, and written as holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The unit in which zeros are looked for: the block of common file systems.
pub(super) const BLOCK: usize = 4096;

/// Reports whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Without an early end the compiler compares many bytes at once.
    let or = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all | byte) == 0;
    let mut groups = bytes.chunks_exact(64);
    or(groups.remainder()) && groups.all(or)
}

/// Writes to a place where the file has no data yet, and leaves out blocks of zeros, so that they become holes. The
/// caller sets the length of the file.
pub(super) fn write_sparse(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let zeros = blocks(&bytes[written..], Kind::Zeros);
        written += zeros;
        let data = blocks(&bytes[written..], Kind::Data);
        file.write_all_at(&bytes[written..written + data], offset + written as u64)?;
        written += data;
    }
    Ok(())
}

/// Returns the length of the blocks at the start that are zero, or that are not.
fn blocks(bytes: &[u8], of: Kind) -> usize {
    bytes.chunks(BLOCK).take_while(|block| Kind::of(block) == of).map(<[u8]>::len).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zeros,
    Data,
}

impl Kind {
    fn of(block: &[u8]) -> Self {
        if is_zero(block) { Self::Zeros } else { Self::Data }
    }
}
