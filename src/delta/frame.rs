//! zstd frames with bounded cost on both sides.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, compress_bound, get_error_name};

use super::error::Error;

/// Covers a piece: then the frame is one segment, and the whole prefix stays in reach.
const WINDOW_LOG: u32 = 21;

/// The amount of CPU that a frame is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// For the choice between the ways to make a piece.
    Quick,
    /// For what is left of a piece once it is compared: little, so that the best level costs little.
    Thorough,
}

impl Effort {
    const fn level(self) -> i32 {
        match self {
            Self::Quick => 3,
            Self::Thorough => 19,
        }
    }
}

/// Compresses bytes as one frame. The prefix, which may be empty, has to be there again for decompression.
pub(super) fn compress(bytes: &[u8], prefix: &[u8], effort: Effort) -> Result<Vec<u8>, Error> {
    let mut context = CCtx::create();
    let mut set = |parameter| context.set_parameter(parameter).map_err(failed);
    set(CParameter::CompressionLevel(effort.level()))?;
    set(CParameter::WindowLog(WINDOW_LOG))?;
    // Without it, level 3 finds nothing in a prefix of this size; level 19 has no use for it.
    set(CParameter::EnableLongDistanceMatching(effort == Effort::Quick && !prefix.is_empty()))?;
    if !prefix.is_empty() {
        context.ref_prefix(prefix).map_err(failed)?;
    }
    let mut frame = Vec::with_capacity(compress_bound(bytes.len()));
    context.compress2(&mut frame, bytes).map_err(failed)?;
    Ok(frame)
}

/// Decompresses a frame of at most so many bytes, or returns `None`.
pub(super) fn decompress(frame: &[u8], prefix: &[u8], largest: usize) -> Option<Vec<u8>> {
    let mut context = DCtx::try_create()?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).ok()?;
    if !prefix.is_empty() {
        context.ref_prefix(prefix).ok()?;
    }
    let mut bytes = Vec::with_capacity(largest);
    // Ends with an error if there are more bytes than the buffer has room for.
    context.decompress(&mut bytes, frame).ok()?;
    Some(bytes)
}

fn failed(code: usize) -> Error {
    Error::Compression(get_error_name(code))
}
