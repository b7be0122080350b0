//! Bytes and names to test with.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// `length` bytes that look random, do not compress, and are the same for the same `seed`.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// A number below `end` (at least 1), another one each time.
pub fn random_below(end: u64) -> u64 {
    let mut buffer = [0; 8];
    getrandom::fill(&mut buffer).expect("the system's random numbers");
    u64::from_le_bytes(buffer) % end
}

/// Lower-case letters and digits that no other test process has.
pub fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}_{count}_{:08x}", std::process::id(), random_below(1 << 32))
}

/// The digest as the API writes it: `sha256:<hex>`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Writes a file of `size` bytes, no mebibyte of which is like another; its digest as the API writes it.
pub fn write_file(path: &Path, size: u64) -> String {
    let mut file = BufWriter::new(File::create(path).expect("make the sample"));
    let (mut block, mut hasher, mut left) = (bytes(size, 1 << 20), Sha256::new(), size);
    while left > 0 {
        block[..8].copy_from_slice(&left.to_le_bytes());
        let piece = &block[..usize::try_from(left).map_or(block.len(), |left| left.min(1 << 20))];
        file.write_all(piece).expect("write the sample");
        hasher.update(piece);
        left -= piece.len() as u64;
    }
    file.flush().expect("write the sample");
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

/// The digest of a file, read piece by piece.
pub fn digest_of_file(path: &Path) -> String {
    let (mut file, mut hasher) = (File::open(path).expect("open the file"), Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("read the file") {
            0 => return format!("sha256:{}", hex::encode(hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The digest as RFC 9530 writes it in `Repr-Digest` and `Content-Digest`.
pub fn digest_field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}
