//! The bytes that are collected before they are written.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// The size of a whole batch. It is large enough that handing it to a blocking thread costs little compared with the
/// copy, and small enough that it stays in the processor's cache between hashing and writing, and that a kill of the
/// server loses little. When many appenders collect at once, each has less: see `memory_budget`.
const WHOLE: usize = 512 * 1024;

/// The size below which pieces are copied together. Each piece would otherwise keep alive the whole buffer that it was
/// read into, and a client that sends byte by byte would fill the memory with such buffers.
const SMALL: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Batch {
    pieces: Vec<Bytes>,
    small: BytesMut,
    length: usize,
    whole: usize,
}

impl Batch {
    /// Takes as much of `bytes` as belongs to this batch. A batch that begins here may have at most `room` bytes.
    pub(super) fn push(&mut self, bytes: &mut Bytes, room: u64) {
        if self.length == 0 {
            self.whole = usize::try_from(room).map_or(WHOLE, |room| room.min(WHOLE));
        }
        let piece = bytes.split_to(bytes.len().min(self.whole - self.length));
        self.length += piece.len();
        if piece.len() < SMALL {
            self.small.extend_from_slice(&piece);
        } else {
            self.close_small();
            self.pieces.push(piece);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.length as u64
    }

    pub(super) fn is_whole(&self) -> bool {
        self.length > 0 && self.length == self.whole
    }

    /// Returns the pieces in their order and leaves the batch empty.
    pub(super) fn take(&mut self) -> Arc<[Bytes]> {
        self.close_small();
        self.length = 0;
        std::mem::take(&mut self.pieces).into()
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_come_out_in_their_order() {
        let bytes = Bytes::from((0..=255).cycle().take(3 * WHOLE + 77).collect::<Vec<u8>>());
        for length in [1000, SMALL - 1, SMALL, 100_000, WHOLE, 2 * WHOLE + 1] {
            let (mut batch, mut seen, mut rest) = (Batch::default(), Vec::new(), bytes.clone());
            while !rest.is_empty() {
                let mut piece = rest.split_to(rest.len().min(length));
                while !piece.is_empty() {
                    batch.push(&mut piece, 1 << 40);
                    if batch.is_whole() {
                        seen.extend(batch.take().concat());
                    }
                }
            }
            seen.extend(batch.take().concat());
            assert!(seen == bytes, "pieces of {length}");
            assert_eq!(batch.len(), 0);
        }
    }

    #[test]
    fn a_part_ends_where_the_room_does() {
        let (mut batch, mut bytes) = (Batch::default(), Bytes::from(vec![1; 100]));
        batch.push(&mut bytes, 70);
        assert!(batch.is_whole());
        assert_eq!((batch.take().concat().len(), bytes.len()), (70, 30));
    }

    #[test]
    fn a_client_that_sends_byte_by_byte_does_not_make_a_list_of_bytes() {
        let mut batch = Batch::default();
        for _ in 0..SMALL {
            batch.push(&mut Bytes::from_static(b"x"), 1 << 40);
        }
        assert_eq!(batch.take().len(), 1);
    }
}
