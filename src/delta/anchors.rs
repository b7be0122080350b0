//! Anchors: places in data that depend only on the 64 bytes before them, so that the same data has the same anchors
//! wherever it lies.
//!
//! They tell which parts of two files are alike. Whole chunks of 2 KiB, of which every byte has to be equal, find less:
//! a program that was built anew differs somewhere in most of them.

/// Anchors are this many bits apart, on average 2^9 bytes.
const BITS: u32 = 9;
/// Bytes on which an anchor depends.
const WINDOW: usize = 64;

/// A number for each byte, as the hash "gear" needs them.
static GEAR: [u64; 256] = gear();

/// An anchor's fingerprint.
pub(super) type Fingerprint = u32;

/// The hash of the last 64 bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    hash: u64,
    /// Bytes seen so far, up to the window.
    seen: usize,
}

impl Anchors {
    /// Goes on through a stream, and reports each anchor with its place in `bytes`.
    pub(super) fn through(&mut self, bytes: &[u8], mut report: impl FnMut(Fingerprint, usize)) {
        let mut last = 0;
        let warm = (WINDOW - self.seen).min(bytes.len());
        for byte in &bytes[..warm] {
            self.hash = step(self.hash, *byte);
        }
        self.seen += warm;
        let mut hash = self.hash;
        for (place, byte) in bytes.iter().enumerate().skip(warm) {
            hash = step(hash, *byte);
            // Bytes that are all alike have the same hash everywhere.
            if hash >> (64 - BITS) == 0 && hash != last {
                last = hash;
                report(fingerprint(hash), place);
            }
        }
        self.hash = hash;
    }
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(GEAR[usize::from(byte)])
}

fn fingerprint(hash: u64) -> Fingerprint {
    let [.., a, b, c, d] = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    Fingerprint::from_le_bytes([a, b, c, d])
}

/// The numbers of the generator splitmix64.
const fn gear() -> [u64; 256] {
    let mut gear = [0; 256];
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut index = 0;
    while index < gear.len() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = state;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        gear[index] = number ^ (number >> 31);
        index += 1;
    }
    gear
}
