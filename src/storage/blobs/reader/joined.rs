//! Several blobs read as one, such as the files in an archive and what stands between them.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::{BlobReader, BlobStream, Piece, too_short};

/// Each part is opened for reading when its turn comes.
pub(super) fn stream(
    parts: Arc<[BlobReader]>,
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> BlobStream {
    let streams = pieces.flat_map(move |piece| match piece {
        Piece::Literal(text) => vec![Some((BlobReader::bytes(text.clone()), 0..text.len() as u64))],
        Piece::Range(range) => within(&parts, range),
    });
    let read = |part: Option<(BlobReader, Range<u64>)>| match part {
        Some((part, range)) => part.stream(range),
        None => stream::iter([Err(too_short())]).boxed(),
    };
    stream::iter(streams).flat_map(read).boxed()
}

/// What of each part is in the range; none where it leaves the last one.
fn within(parts: &[BlobReader], range: Range<u64>) -> Vec<Option<(BlobReader, Range<u64>)>> {
    let (mut found, mut begins) = (Vec::new(), 0);
    for part in parts {
        let ends = begins + part.size;
        let (start, end) = (range.start.max(begins), range.end.min(ends));
        if start < end {
            found.push(Some((part.clone(), start - begins..end - begins)));
        }
        begins = ends;
    }
    if range.end > begins {
        found.push(None);
    }
    found
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::TryStreamExt as _;

    use super::*;

    async fn read(reader: &BlobReader, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        Ok(reader.stream(range).try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn every_range_is_what_it_would_be_of_the_whole() {
        let texts = ["abc", "", "d", "efghij"];
        let parts = texts.map(|text| BlobReader::bytes(Bytes::from_static(text.as_bytes())));
        let (joined, whole) = (BlobReader::joined(parts.into()), texts.concat());
        assert_eq!(joined.size(), 10);
        for start in 0..=10 {
            for end in start..=10 {
                let read = read(&joined, start as u64..end as u64).await.unwrap();
                assert_eq!(read, whole.as_bytes()[start..end]);
            }
        }
        assert!(read(&joined, 5..11).await.is_err());
    }

    #[tokio::test]
    async fn text_between_two_ranges_stands_where_it_was_put() {
        let parts =
            ["abc", "def"].map(|text| BlobReader::bytes(Bytes::from_static(text.as_bytes())));
        let text = Piece::Literal(Bytes::from_static(b"--"));
        let pieces = [Piece::Range(1..4), text, Piece::Range(0..1)];
        let stream = BlobReader::joined(parts.into()).stream_pieces(pieces.into_iter());
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"bcd--a");
    }
}
