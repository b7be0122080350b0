//! The `Content-Range` of a Fragment: the bytes of the file that its body contains.

/// A range of a file of known size. It is never empty and never beyond the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentRange {
    /// The offset of the first byte.
    pub first: u64,
    /// The length in bytes, at least 1.
    pub length: u64,
    /// The size of the whole file in bytes.
    pub total: u64,
}

impl FragmentRange {
    /// Reads `bytes FIRST-LAST/TOTAL`. The unit may have any case (documents print `Bytes`), with any white space after
    /// it and around the numbers. A total of `*` is refused, because disk space must be reserved for it. The empty file
    /// is refused too, because no range can express it.
    pub fn parse(field: &str) -> Option<Self> {
        let (unit, rest) = field.trim_matches(WHITESPACE).split_once(WHITESPACE)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        (first <= last && last < total).then(|| Self { first, length: last - first + 1, total })
    }

    /// Returns the offset after the last byte.
    pub fn end(&self) -> u64 {
        self.first + self.length
    }
}

const WHITESPACE: [char; 2] = [' ', '\t'];

/// Reads a number of digits only: `str::parse` would accept a plus sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_matches(WHITESPACE);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_in_any_case_and_spacing() {
        let range = Some(FragmentRange { first: 128, length: 85, total: 213 });
        for field in [
            "bytes 128-212/213",
            "Bytes 128-212/213",
            "BYTES  128-212/213",
            "bytes\t128 - 212 / 213 ",
            " bytes 0128-0212/0213",
        ] {
            assert_eq!(FragmentRange::parse(field), range, "{field}");
        }
        let widest = format!("bytes 0-{}/{}", u64::MAX - 1, u64::MAX);
        assert_eq!(FragmentRange::parse(&widest).unwrap().end(), u64::MAX);
    }

    #[test]
    fn whatever_else_stands_there_is_refused() {
        for field in [
            "",
            "bytes",
            "bytes ",
            "bytes=0-1/2",
            "items 0-1/2",
            "0-1/2",
            "bytes 0-1",
            "bytes 0-1/*",
            "bytes */2",
            "bytes 0-/2",
            "bytes -1/2",
            "bytes 1-0/2",
            "bytes 0-2/2",
            "bytes 0-0/0",
            "bytes +0-1/2",
            "bytes 0-1/2/3",
            "bytes 0-1-2/3",
            "bytes 0x0-0x1/2",
            "bytes 0-18446744073709551615/18446744073709551616",
            "bytes 99999999999999999999-99999999999999999999/99999999999999999999",
        ] {
            assert_eq!(FragmentRange::parse(field), None, "{field}");
        }
    }
}
