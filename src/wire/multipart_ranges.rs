//! The framing of `multipart/byteranges` (RFC 9110 section 14.6), with its length known beforehand.
//!
//! BITS reads it strictly ("MC-BUP" 3.5.5.1): parts in the order asked, each with `Content-Type` and `Content-Range`
//! only, little before the first boundary, and a `Content-Length` for the whole. This module makes the text around the
//! bytes and computes its length; other code reads the bytes.

use std::iter;
use std::ops::Range;

use bytes::Bytes;

/// An answer with several ranges of one file.
#[derive(Debug, Clone)]
pub struct MultipartRanges {
    ranges: Vec<Range<u64>>,
    size: u64,
    boundary: String,
    content_type: String,
}

/// A section of the body, in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// Text that is sent as it is.
    Framing(Bytes),
    /// Bytes of the file.
    Content(Range<u64>),
}

impl MultipartRanges {
    /// Creates an answer with `ranges` of a file of `size` bytes. None of them may be empty or beyond the end.
    ///
    /// The caller must choose a valid `boundary`: at most 70 characters that need no quotes (RFC 2046 section 5.1.1),
    /// which the file does not contain after a line break and two hyphens.
    pub fn new(ranges: Vec<Range<u64>>, size: u64, boundary: String, content_type: String) -> Self {
        Self { ranges, size, boundary, content_type }
    }

    /// Returns the value of the answer's own `Content-Type`.
    pub fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Returns the length of the body in bytes, framing included: its `Content-Length`.
    pub fn content_length(&self) -> u64 {
        // Writing 500 headers once more costs less than a second formula for their length, which could disagree with
        // the first.
        self.clone()
            .into_sections()
            .map(|section| match section {
                Section::Framing(text) => text.len() as u64,
                Section::Content(range) => range.end - range.start,
            })
            .sum()
    }

    /// Returns the body piece by piece. Each header is written when it is needed, so that 64 KiB of one-byte ranges do
    /// not turn into megabytes in memory.
    pub fn into_sections(self) -> impl Iterator<Item = Section> + Send + 'static {
        let Self { ranges, size, boundary, content_type } = self;
        let end = format!("\r\n--{boundary}--\r\n");
        ranges
            .into_iter()
            .flat_map(move |range| {
                // The line break before a boundary belongs to it. The first boundary has one too, as in nginx, Apache
                // and squid, because zsync and others skip a line before they look for a boundary (RFC 2046 section
                // 5.1.1 allows it).
                let last = range.end.saturating_sub(1);
                let head = format!(
                    "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {}-{last}/{size}\r\n\r\n",
                    range.start
                );
                [Section::Framing(head.into()), Section::Content(range)]
            })
            .chain(iter::once(Section::Framing(end.into())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(ranges: Vec<Range<u64>>, size: u64) -> MultipartRanges {
        MultipartRanges::new(
            ranges,
            size,
            "THIS_STRING_SEPARATES".into(),
            "application/octet-stream".into(),
        )
    }

    fn body(answer: MultipartRanges, file: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for section in answer.into_sections() {
            match section {
                Section::Framing(text) => body.extend_from_slice(&text),
                Section::Content(range) => {
                    let range =
                        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    body.extend_from_slice(&file[range]);
                }
            }
        }
        body
    }

    #[test]
    fn the_body_is_written_as_the_rfc_shows_it() {
        let answer = answer(vec![4..6, 0..3], 10);
        assert_eq!(answer.media_type(), "multipart/byteranges; boundary=THIS_STRING_SEPARATES");
        assert_eq!(
            String::from_utf8(body(answer, b"0123456789")).unwrap(),
            "\r\n--THIS_STRING_SEPARATES\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n\
             --THIS_STRING_SEPARATES\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-2/10\r\n\r\n012\r\n\
             --THIS_STRING_SEPARATES--\r\n"
        );
    }

    #[test]
    fn the_header_of_a_part_stays_under_180_bytes_for_the_largest_file() {
        let answer = answer(vec![u64::MAX - 2..u64::MAX, u64::MAX - 2..u64::MAX], u64::MAX);
        for section in answer.into_sections() {
            if let Section::Framing(text) = section {
                assert!(text.len() <= 180, "{} bytes: {text:?}", text.len());
            }
        }
    }

    proptest! {
        #[test]
        fn the_length_said_is_the_length_sent(
            asked in prop::collection::vec((0..5000_usize, 1..300_usize), 2..60),
        ) {
            let file = vec![b'x'; 5300];
            let ranges = asked.into_iter().map(|(start, length)| start as u64..(start + length) as u64).collect();
            let answer = answer(ranges, file.len() as u64);
            prop_assert_eq!(answer.content_length(), body(answer, &file).len() as u64);
        }
    }
}
