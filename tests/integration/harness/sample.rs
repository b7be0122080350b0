//! Bytes and names to test with.

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

/// The digest as RFC 9530 writes it in `Repr-Digest` and `Content-Digest`.
pub fn digest_field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}
