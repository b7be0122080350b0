//! Cutting and joining pieces into batches of one read's size.

use super::piece::Piece;

/// Pieces that are read into one buffer by one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    /// The length of all pieces together.
    pub(super) length: usize,
}

/// The batches of a sequence of pieces, which are cut if they are longer than a batch and joined if they are shorter.
pub(super) struct Batches<I> {
    pieces: I,
    /// The rest of a range that was cut.
    rest: Option<Piece>,
    limit: usize,
}

impl<I: Iterator<Item = Piece>> Batches<I> {
    /// Creates batches of at most `limit` bytes. Only text may exceed the limit, because it is never cut.
    pub(super) fn new(pieces: I, limit: usize) -> Self {
        Self { pieces, rest: None, limit }
    }

    /// Sets the limit of the batches from the next one on.
    pub(super) fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
    }
}

impl<I: Iterator<Item = Piece>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch { pieces: Vec::new(), length: 0 };
        while batch.length < self.limit {
            let Some(piece) = self.rest.take().or_else(|| self.pieces.next()) else { break };
            let room = self.limit - batch.length;
            match piece {
                Piece::Literal(text) => {
                    batch.length += text.len();
                    batch.pieces.push(Piece::Literal(text));
                }
                Piece::Range(range) => {
                    let wanted = range.end.saturating_sub(range.start);
                    let taken = usize::try_from(wanted).map_or(room, |wanted| wanted.min(room));
                    let cut = range.start + taken as u64;
                    if cut < range.end {
                        self.rest = Some(Piece::Range(cut..range.end));
                    }
                    batch.length += taken;
                    batch.pieces.push(Piece::Range(range.start..cut));
                }
            }
        }
        (batch.length > 0).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_range_is_cut_and_short_ones_are_joined() {
        let pieces =
            [Piece::Range(0..25), Piece::Literal(Bytes::from_static(b"--")), Piece::Range(90..91)];
        let batches: Vec<_> =
            Batches::new(pieces.into_iter(), 10).map(|batch| batch.pieces).collect();
        assert_eq!(
            batches,
            [
                vec![Piece::Range(0..10)],
                vec![Piece::Range(10..20)],
                vec![
                    Piece::Range(20..25),
                    Piece::Literal(Bytes::from_static(b"--")),
                    Piece::Range(90..91)
                ],
            ]
        );
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_doubled_or_moved(
            asked in prop::collection::vec((0..500_u64, 0..200_u64), 0..40),
            limit in 1..300_usize,
        ) {
            let asked: Vec<_> = asked.into_iter().map(|(start, length)| start..start + length).collect();
            let batches = Batches::new(asked.clone().into_iter().map(Piece::Range), limit);
            let mut offsets = Vec::new();
            for batch in batches {
                prop_assert!(batch.length <= limit);
                for piece in batch.pieces {
                    if let Piece::Range(range) = piece {
                        offsets.extend(range);
                    }
                }
            }
            prop_assert_eq!(offsets, asked.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}
