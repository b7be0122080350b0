//! The conditions and ranges of a request (RFC 9110 sections 13 and 14), for files with a strong tag.

use std::ops::Range;
use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// The tag of a file with its quotes, and its date.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    pub tag: &'a str,
    pub date: Option<SystemTime>,
}

/// The answer that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// Returns the wanted answer for a file of so many bytes. Several ranges are answered by the whole.
pub fn wanted(headers: &HeaderMap, is_get: bool, size: u64, file: Validators<'_>) -> Wanted {
    if let Some(tags) = text(headers, IF_MATCH) {
        if !names(tags, file.tag, false) {
            return Wanted::PreconditionFailed;
        }
    } else if let (Some(since), Some(date)) = (time(headers, IF_UNMODIFIED_SINCE), file.date)
        && date > since
    {
        return Wanted::PreconditionFailed;
    }
    if let Some(tags) = text(headers, IF_NONE_MATCH) {
        if names(tags, file.tag, true) {
            return Wanted::NotModified;
        }
    } else if let (Some(since), Some(date)) = (time(headers, IF_MODIFIED_SINCE), file.date)
        && date <= since
    {
        return Wanted::NotModified;
    }
    if !is_get || headers.get_all(RANGE).iter().count() != 1 || !range_applies(headers, file) {
        return Wanted::Whole;
    }
    text(headers, RANGE).map_or(Wanted::Whole, |range| part(range, size))
}

/// Reports whether the range is one of the file that the client has begun.
fn range_applies(headers: &HeaderMap, file: Validators<'_>) -> bool {
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    let Some(text) = text(headers, IF_RANGE) else { return false };
    text == file.tag || (file.date.is_some() && time(headers, IF_RANGE) == file.date)
}

fn part(text: &str, size: u64) -> Wanted {
    let Some(text) = text.strip_prefix("bytes=").map(str::trim) else { return Wanted::Whole };
    let Some((first, last)) = text.split_once('-').filter(|_| !text.contains(',')) else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than any size; a number that is too long is one, too.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

/// Reports whether a list names the tag.
fn names(list: &str, tag: &str, may_be_weak: bool) -> bool {
    list.trim() == "*"
        || list.split(',').map(str::trim).any(|named| {
            let strong =
                if may_be_weak { named.strip_prefix("W/").unwrap_or(named) } else { named };
            strong == tag
        })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn time(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn asked(fields: &[(HeaderName, &'static str)]) -> Wanted {
        let fields =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let date = httpdate::parse_http_date(DATE).ok();
        wanted(&fields.collect(), true, 100, Validators { tag: "\"tag\"", date })
    }

    #[test]
    fn one_range_is_answered_and_others_are_not() {
        let range = |text| asked(&[(RANGE, text)]);
        assert_eq!(range("bytes=0-9"), Wanted::Part(0..10));
        assert_eq!(range("bytes=90-1000"), Wanted::Part(90..100));
        assert_eq!(range("bytes=90-"), Wanted::Part(90..100));
        assert_eq!(range("bytes=-30"), Wanted::Part(70..100));
        assert_eq!(range("bytes=-1000"), Wanted::Part(0..100));
        assert_eq!(range("bytes=100-"), Wanted::Unsatisfiable);
        assert_eq!(range("bytes=-0"), Wanted::Unsatisfiable);
        for ignored in ["bytes=9-3", "bytes=", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=a-b"]
        {
            assert_eq!(range(ignored), Wanted::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_answered() {
        let range = |condition| asked(&[(RANGE, "bytes=0-9"), (IF_RANGE, condition)]);
        assert_eq!(range("\"tag\""), Wanted::Part(0..10));
        assert_eq!(range(DATE), Wanted::Part(0..10));
        for other in ["\"other\"", "W/\"tag\"", LATER] {
            assert_eq!(range(other), Wanted::Whole, "{other}");
        }
    }

    #[test]
    fn conditions_are_weighed_in_their_order() {
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"x\", W/\"tag\"")]), Wanted::NotModified);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, DATE)]), Wanted::Whole);
        assert_eq!(asked(&[(IF_MODIFIED_SINCE, DATE)]), Wanted::NotModified);
        assert_eq!(asked(&[(IF_MATCH, "\"x\"")]), Wanted::PreconditionFailed);
        assert_eq!(asked(&[(IF_MATCH, "W/\"tag\"")]), Wanted::PreconditionFailed);
        assert_eq!(asked(&[(IF_MATCH, "*")]), Wanted::Whole);
        assert_eq!(asked(&[(IF_UNMODIFIED_SINCE, LATER)]), Wanted::Whole);
    }
}
