//! One entry of the index of a delta: how a piece is made, or that several pieces are zeros.

use super::check::Check;
use super::ranges::Ranges;
use super::varint::{Bytes, put};
use super::{LONGEST_PAYLOAD, PIECE};

/// An entry of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// So many pieces of zeros.
    Zeros(u64),
    /// One piece, with the digest of its bytes.
    Piece(Method, Check),
}

/// The way in which a piece is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// The ranges are the piece.
    Copy(Ranges),
    /// The payload is the piece, compressed.
    Alone { payload: u32 },
    /// The payload is the piece, compressed with the ranges as prefix.
    Prefix { payload: u32, ranges: Ranges },
    /// The payload is a compressed recipe (`recipe`) that makes the piece from the ranges.
    Recipe { payload: u32, ranges: Ranges },
}

/// The numbers of the kinds in the index.
const ZEROS: u8 = 0;
const COPY: u8 = 1;
const ALONE: u8 = 2;
const PREFIX: u8 = 3;
const RECIPE: u8 = 4;

impl Method {
    /// Returns the length of the payload.
    pub const fn payload(&self) -> u32 {
        match self {
            Self::Copy(_) => 0,
            Self::Alone { payload }
            | Self::Prefix { payload, .. }
            | Self::Recipe { payload, .. } => *payload,
        }
    }
}

impl Entry {
    /// The largest number of bytes of an entry.
    pub(super) const LARGEST: usize = 64 + Ranges::MOST * 16;

    pub(super) fn put(&self, to: &mut Vec<u8>) {
        let (method, check) = match self {
            Self::Zeros(count) => {
                to.push(ZEROS);
                put(to, *count);
                return;
            }
            Self::Piece(method, check) => (method, check),
        };
        let (kind, payload, ranges) = match method {
            Method::Copy(ranges) => (COPY, None, Some(ranges)),
            Method::Alone { payload } => (ALONE, Some(*payload), None),
            Method::Prefix { payload, ranges } => (PREFIX, Some(*payload), Some(ranges)),
            Method::Recipe { payload, ranges } => (RECIPE, Some(*payload), Some(ranges)),
        };
        to.push(kind);
        if let Some(payload) = payload {
            put(to, u64::from(payload));
        }
        if let Some(ranges) = ranges {
            ranges.put(to);
        }
        to.extend_from_slice(check.as_bytes());
    }

    /// Reads an entry; `rest` are the bytes of the result that are not made yet, at least one.
    pub(super) fn take(bytes: &mut Bytes<'_>, base_size: u64, rest: u64) -> Option<Self> {
        let kind = bytes.byte()?;
        let payload = |bytes: &mut Bytes<'_>| {
            let length = u32::try_from(bytes.number()?).ok()?;
            (length > 0 && length <= LONGEST_PAYLOAD).then_some(length)
        };
        let method = match kind {
            ZEROS => {
                let pieces = rest.div_ceil(PIECE as u64);
                let count = bytes.number().filter(|count| (1..=pieces).contains(count))?;
                return Some(Self::Zeros(count));
            }
            COPY => {
                let ranges = Ranges::take(bytes, base_size)?;
                if ranges.total() as u64 != rest.min(PIECE as u64) {
                    return None;
                }
                Method::Copy(ranges)
            }
            ALONE => Method::Alone { payload: payload(bytes)? },
            PREFIX => {
                Method::Prefix { payload: payload(bytes)?, ranges: Ranges::take(bytes, base_size)? }
            }
            RECIPE => {
                Method::Recipe { payload: payload(bytes)?, ranges: Ranges::take(bytes, base_size)? }
            }
            _ => return None,
        };
        Some(Self::Piece(method, Check::from_bytes(bytes.array()?)))
    }
}
