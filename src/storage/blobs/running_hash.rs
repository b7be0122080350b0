//! A SHA-256 that can be saved and restored: an upload that continues after a restart does not read again what came
//! before.

use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::model::Digest;

/// The SHA-256 over the bytes so far.
#[derive(Clone, Default)]
pub struct RunningHash(Sha256);

/// The error for a text that [`RunningHash::save`] did not produce.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the saved state of the digest cannot be read")]
pub struct BrokenState;

impl RunningHash {
    /// Restores the state that [`Self::save`] returned.
    pub fn restore(saved: &str) -> Result<Self, BrokenState> {
        let mut state = SerializedState::<Sha256>::default();
        hex::decode_to_slice(saved, &mut state).map_err(|_| BrokenState)?;
        Sha256::deserialize(&state).map(Self).map_err(|_| BrokenState)
    }

    /// Returns the hash in hex: its state proper, the bytes that do not fill a block, and their count.
    pub fn save(&self) -> String {
        hex::encode(self.0.serialize())
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_on_where_it_was_put_down() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for cut in [0, 1, 63, 64, 65, 640, 1000] {
            let mut first = RunningHash::default();
            first.update(&bytes[..cut]);
            let mut second = RunningHash::restore(&first.save()).unwrap();
            second.update(&bytes[cut..]);
            assert_eq!(second.finish(), Digest::of(&bytes), "cut at {cut}");
        }
    }

    #[test]
    fn what_was_not_saved_here_is_refused() {
        for text in ["", "00", &"f".repeat(210)] {
            assert_eq!(RunningHash::restore(text).err(), Some(BrokenState), "{text}");
        }
    }
}
