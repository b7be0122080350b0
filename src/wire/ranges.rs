//! The `Range` field (RFC 9110 section 14): the requested bytes of a file of known size.
//!
//! BITS asks for up to 500 ranges at once, in any order, and takes the parts in the order it asked for them, so nothing
//! here sorts or merges. `multipart_ranges` frames the answer. Callers decide if the field applies at all (`If-Range`,
//! the method).

use std::ops::Range;

/// The part of a file that a `Range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it, answered with 200: the field was malformed, had another unit, or asked for too much.
    Whole,
    /// One range, never empty, inside the file.
    Single(Range<u64>),
    /// Two or more ranges in the order asked, each as in `Single`. They may overlap.
    Multiple(Vec<Range<u64>>),
    /// Well-formed, but without any byte of the file: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for a file of `size` bytes.
///
/// Ranges outside the file are dropped as long as one is inside. Ranges that add up to more than twice the file are an
/// attack or a mistake, and a whole answer is cheaper: they give `Selection::Whole` (RFC 9110 section 14.2 allows it).
pub fn select(field: &[u8], size: u64) -> Selection {
    let Some(asked) = parse(field) else { return Selection::Whole };
    let wants_suffix_of_nothing = size == 0
        && asked.iter().any(|spec| matches!(spec, RangeSpec::Suffix(length) if *length > 0));
    if wants_suffix_of_nothing {
        // Satisfiable by section 14.1.2, but no Content-Range can express zero bytes.
        return Selection::Whole;
    }

    let mut ranges: Vec<_> = asked.into_iter().filter_map(|spec| spec.within(size)).collect();
    let total: u128 = ranges.iter().map(|range| u128::from(range.end - range.start)).sum();
    if total > 2 * u128::from(size) {
        return Selection::Whole;
    }
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::Single(ranges.remove(0)),
        _ => Selection::Multiple(ranges),
    }
}

#[derive(Debug, Clone, Copy)]
enum RangeSpec {
    /// The form `first-last`, both inclusive; `first-` has no last.
    FromTo(u64, Option<u64>),
    /// The form `-length`: the last bytes.
    Suffix(u64),
}

impl RangeSpec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first, last) {
            ("", length) => Some(Self::Suffix(position(length)?)),
            (first, "") => Some(Self::FromTo(position(first)?, None)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::FromTo(first, Some(last)))
            }
        }
    }

    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::FromTo(first, None) => first..size,
            Self::FromTo(first, Some(last)) => first..last.saturating_add(1).min(size),
            Self::Suffix(length) => size.saturating_sub(length)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

fn parse(field: &[u8]) -> Option<Vec<RangeSpec>> {
    let (unit, set) = std::str::from_utf8(field).ok()?.split_once('=')?;
    if !unit.trim_matches(WHITESPACE).eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list may contain empty elements, which a recipient skips (section 5.6.1.2).
    let specs: Option<Vec<_>> = set
        .split(',')
        .map(|element| element.trim_matches(WHITESPACE))
        .filter(|element| !element.is_empty())
        .map(RangeSpec::parse)
        .collect();
    specs.filter(|specs| !specs.is_empty())
}

const WHITESPACE: [char; 2] = [' ', '\t'];

/// Reads digits only (`str::parse` would accept a plus sign). A number beyond 64 bits is past the end of any file, as
/// is `u64::MAX`.
fn position(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn multiple(ranges: &[Range<u64>]) -> Selection {
        Selection::Multiple(ranges.to_vec())
    }

    #[test]
    fn one_range_is_taken_with_its_end_cut_to_the_file() {
        assert_eq!(select(b"bytes=0-0", 100), Selection::Single(0..1));
        assert_eq!(select(b"bytes=10-19", 100), Selection::Single(10..20));
        assert_eq!(select(b"bytes=10-", 100), Selection::Single(10..100));
        assert_eq!(select(b"bytes=10-5000", 100), Selection::Single(10..100));
        assert_eq!(select(b"bytes=0-99999999999999999999999", 100), Selection::Single(0..100));
        assert_eq!(select(b"Bytes = 0-9", 100), Selection::Single(0..10));
    }

    #[test]
    fn a_suffix_counts_from_the_end() {
        assert_eq!(select(b"bytes=-1", 100), Selection::Single(99..100));
        assert_eq!(select(b"bytes=-1000", 100), Selection::Single(0..100));
        assert_eq!(select(b"bytes=-0", 100), Selection::Unsatisfiable);
    }

    #[test]
    fn several_ranges_keep_the_order_asked_and_their_overlaps() {
        assert_eq!(
            select(b"bytes=125-199, 1000-1099,200-224,190-210", 2000),
            multiple(&[125..200, 1000..1100, 200..225, 190..211])
        );
    }

    #[test]
    fn ranges_outside_the_file_are_dropped_while_one_is_inside() {
        assert_eq!(select(b"bytes=100-,0-4,200-300,5-9", 100), multiple(&[0..5, 5..10]));
        assert_eq!(select(b"bytes=100-,0-4", 100), Selection::Single(0..5));
        assert_eq!(select(b"bytes=100-,200-300,-0", 100), Selection::Unsatisfiable);
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=1",
            "items=0-1",
            "bytes=+1-2",
            "bytes=0-1,x",
            "bytes=0-1,9-8",
            "bytes=1--2",
            "bytes 0-1",
            "bytes=0 -1",
        ] {
            assert_eq!(select(field.as_bytes(), 100), Selection::Whole, "{field}");
        }
        assert_eq!(select(b"bytes=\xff-1", 100), Selection::Whole);
    }

    #[test]
    fn ranges_adding_up_to_more_than_twice_the_file_get_the_whole_file() {
        assert_eq!(select(b"bytes=0-,0-", 100), multiple(&[0..100, 0..100]));
        assert_eq!(select(b"bytes=0-,0-,5-5", 100), Selection::Whole);
    }

    #[test]
    fn an_empty_file_has_no_range_to_give() {
        assert_eq!(select(b"bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-5", 0), Selection::Whole);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_no_range_leaves_the_file(field in "(bytes=)?[0-9,\\- a]{0,40}", size in 0..1000_u64) {
            let ranges = match select(field.as_bytes(), size) {
                Selection::Single(range) => vec![range],
                Selection::Multiple(ranges) => ranges,
                Selection::Whole | Selection::Unsatisfiable => vec![],
            };
            prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
            prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= 2 * size);
        }

        #[test]
        fn every_list_of_ranges_inside_the_file_is_answered_as_asked(
            asked in prop::collection::vec((0..1_000_000_u64, 1..1000_u64), 2..700),
        ) {
            let ranges: Vec<_> = asked.into_iter().map(|(start, length)| start..start + length).collect();
            let list: Vec<_> = ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
            let field = format!("bytes={}", list.join(","));
            prop_assert_eq!(select(field.as_bytes(), 1 << 40), Selection::Multiple(ranges));
        }

        #[test]
        fn arbitrary_bytes_never_panic(field in prop::collection::vec(any::<u8>(), 0..60), size: u64) {
            let _ = select(&field, size);
        }
    }
}
