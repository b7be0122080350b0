//! Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload, interop version 9): its fields, which are
//! structured ones (RFC 9651), its media type and its problem types.
//!
//! A field with a value of another type is ignored as a whole, as the draft demands. So reading returns an `Option` and
//! never an error. Callers decide what a request without the field means.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// Says by `?1` that the request's content ends the file, or that an answer is the one of the upload's target.
pub static UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
/// The number of bytes of the file that have been taken. tus has a field of the same name and meaning.
pub static UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// The length of the whole file, in bytes. tus has a field of the same name and meaning.
pub static UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// The limits of an upload: [`Limits`].
pub static UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
/// The media types that a PATCH may have (RFC 5789 section 3.1).
pub static ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The media type of appended bytes.
pub const CONTENT_TYPE: &str = "application/partial-upload";

/// The append does not begin where the upload ends. Has the members [`EXPECTED_OFFSET`] and [`PROVIDED_OFFSET`].
pub const MISMATCHING_OFFSET: &str =
    "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
pub const EXPECTED_OFFSET: &str = "expected-offset";
pub const PROVIDED_OFFSET: &str = "provided-offset";
/// The length in the request contradicts itself or an earlier one.
pub const INCONSISTENT_LENGTH: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
/// Nothing more can be appended. Interop version 9 has dropped this type, but clients of version 8 know it.
pub const COMPLETED_UPLOAD: &str =
    "https://iana.org/assignments/http-problem-types#completed-upload";

/// The largest number that a structured field can contain: 15 digits.
const LARGEST_INTEGER: u64 = 999_999_999_999_999;

/// Returns whether the content of a request ends the file, or none if the field is missing or not a boolean.
pub fn complete(headers: &HeaderMap) -> Option<bool> {
    item(headers, &UPLOAD_COMPLETE, |bare| match bare {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    })
}

/// Returns `Upload-Offset`, or none if it is missing or not a whole number from 0.
pub fn offset(headers: &HeaderMap) -> Option<u64> {
    item(headers, &UPLOAD_OFFSET, whole_number)
}

/// Returns `Upload-Length`, or none if it is missing or not a whole number from 0.
pub fn length(headers: &HeaderMap) -> Option<u64> {
    item(headers, &UPLOAD_LENGTH, whole_number)
}

/// Returns the value of `Upload-Complete`.
pub fn write_complete(complete: bool) -> HeaderValue {
    HeaderValue::from_static(if complete { "?1" } else { "?0" })
}

/// Returns the value of `Upload-Offset` or `Upload-Length`, or none for numbers of more than 15 digits, which only
/// files of a petabyte have.
pub fn write_number(number: u64) -> Option<HeaderValue> {
    (number <= LARGEST_INTEGER).then(|| number.into())
}

/// The limits that `Upload-Limit` announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_size: u64,
    /// The time for which the upload lives without progress from now on, in seconds; none before there is an upload.
    pub max_age: Option<u64>,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `min-size=0`: a server that accepts any size says so, so that the field is never empty.
        write!(f, "max-size={}, min-size=0", self.max_size.min(LARGEST_INTEGER))?;
        match self.max_age {
            Some(seconds) => write!(f, ", max-age={}", seconds.min(LARGEST_INTEGER)),
            None => Ok(()),
        }
    }
}

/// Reads an Item: one bare value, perhaps with parameters, which have no meaning here.
fn item<T>(headers: &HeaderMap, name: &HeaderName, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut lines = headers.get_all(name);
    let line = lines.next()?.to_str().ok()?;
    // Several lines would be joined by commas before parsing, and no Item contains one.
    if lines.next().is_some() {
        return None;
    }
    let (bare, parameters) = match line.trim_matches(' ').split_once(';') {
        Some((bare, parameters)) => (bare, Some(parameters)),
        None => (line.trim_matches(' '), None),
    };
    parameters.is_none_or(are_parameters).then(|| read(bare)).flatten()
}

/// Reports whether this is a valid text after the first `;`: keys, with or without values.
fn are_parameters(mut text: &str) -> bool {
    loop {
        let parameter = text.trim_start_matches(' ');
        let key_ends = parameter.find(['=', ';']).unwrap_or(parameter.len());
        let (key, rest) = parameter.split_at(key_ends);
        let rest = match rest.strip_prefix('=') {
            Some(value) => after_bare_item(value),
            None => Some(rest),
        };
        if !is_key(key) {
            return false;
        }
        match rest {
            Some("") => return true,
            Some(rest) => match rest.strip_prefix(';') {
                Some(next) => text = next,
                None => return false,
            },
            None => return false,
        }
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && key
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'))
}

/// Returns the text after a value: a string ends at its closing quote, anything else at the next `;`. Returns none if
/// there is no value.
fn after_bare_item(text: &str) -> Option<&str> {
    let Some(string) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let plain = end > 0 && !text[..end].contains([' ', ',', '"']);
        return plain.then(|| &text[end..]);
    };
    let mut escaped = false;
    for (at, byte) in string.bytes().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return Some(&string[at + 1..]),
            _ => escaped = false,
        }
    }
    None
}

fn whole_number(bare: &str) -> Option<u64> {
    let is_integer = (1..=15).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_digit());
    // RFC 9651 reads "-0" as 0; no other number with a minus sign is accepted here.
    if is_integer { bare.parse().ok() } else { (bare == "-0").then_some(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    #[test]
    fn a_boolean_is_read_with_and_without_parameters() {
        for (line, expected) in [
            ("?1", true),
            ("?0", false),
            (" ?1 ", true),
            ("?1;a", true),
            ("?0; a=1;b=\"x\"", false),
            ("?0;note=\"a b, c;d \\\" e\";f", false),
        ] {
            assert_eq!(complete(&headers(&UPLOAD_COMPLETE, &[line])), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_boolean_is_ignored() {
        for lines in [
            &["1"][..],
            &["true"],
            &["?2"],
            &["?"],
            &[""],
            &["?1, ?1"],
            &["?1", "?1"],
            &["?1 x"],
            &["?1;"],
            &["?1;A"],
            &["?1;a="],
            &["?1;a=\"x"],
            &["?1;a=\"x\"y"],
            &["?1;;a"],
        ] {
            assert_eq!(complete(&headers(&UPLOAD_COMPLETE, lines)), None, "{lines:?}");
        }
        assert_eq!(complete(&HeaderMap::new()), None);
    }

    #[test]
    fn a_number_has_at_most_fifteen_digits_and_no_sign() {
        for (line, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("999999999999999", Some(999_999_999_999_999)),
            ("5;q=1", Some(5)),
            ("1000000000000000", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1e3", None),
            ("0x10", None),
            ("\"5\"", None),
            ("5, 5", None),
            ("", None),
        ] {
            assert_eq!(offset(&headers(&UPLOAD_OFFSET, &[line])), expected, "{line}");
            assert_eq!(length(&headers(&UPLOAD_LENGTH, &[line])), expected, "{line}");
        }
        assert_eq!(offset(&headers(&UPLOAD_OFFSET, &["5", "5"])), None);
    }

    #[test]
    fn limits_are_a_dictionary() {
        let limits = Limits { max_size: 1 << 40, max_age: Some(3600) };
        assert_eq!(limits.to_string(), "max-size=1099511627776, min-size=0, max-age=3600");
        let unbounded = Limits { max_size: u64::MAX, max_age: None };
        assert_eq!(unbounded.to_string(), "max-size=999999999999999, min-size=0");
    }

    #[test]
    fn a_number_too_long_for_its_field_is_not_written() {
        assert_eq!(write_number(7), Some(HeaderValue::from_static("7")));
        assert_eq!(write_number(LARGEST_INTEGER + 1), None);
    }
}
