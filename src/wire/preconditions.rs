//! Conditional requests (RFC 9110 section 13): entity tags, dates, and the order in which they are evaluated.
//!
//! [`evaluate`] is a pure function of the request's headers and the resource's state. It serves files (tag and date)
//! and JSON resources (a tag only). Callers turn a verdict into an answer.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use chrono::{DateTime, Utc};

/// An entity tag as in `ETag`: quoted, perhaps weak (section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    opaque: String,
    weak: bool,
}

impl EntityTag {
    /// Creates a strong tag. `opaque` is the text between the quotes: visible ASCII characters without a quote.
    pub fn strong(opaque: impl Into<String>) -> Self {
        Self { opaque: opaque.into(), weak: false }
    }

    /// Creates a weak tag, for representations that mean the same without being the same bytes.
    pub fn weak(opaque: impl Into<String>) -> Self {
        Self { opaque: opaque.into(), weak: true }
    }

    /// Returns the text between the quotes, or none for a weak tag, which never matches in the strong comparison.
    pub fn into_strong(self) -> Option<String> {
        (!self.weak).then_some(self.opaque)
    }

    fn equals(&self, other: &Self, comparison: Comparison) -> bool {
        let both_strong = !self.weak && !other.weak;
        self.opaque == other.opaque && (comparison == Comparison::Weak || both_strong)
    }
}

impl std::fmt::Display for EntityTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

/// The current state of a resource.
#[derive(Debug, Clone, Default)]
pub struct Validators {
    /// The current tag; `None` if there is no such resource yet, which is what `If-None-Match: *` asks for.
    pub tag: Option<EntityTag>,
    /// The current date; `None` if the resource has no date, so that conditions with a date are ignored. It counts in
    /// whole seconds, as in `Last-Modified`.
    pub last_modified: Option<DateTime<Utc>>,
}

/// The result of a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The conditions hold, or there are none.
    Proceed,
    /// 304: the client has it already (GET and HEAD only).
    NotModified,
    /// 412: a condition failed.
    Failed,
}

/// Evaluates `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since` in the order of section 13.2.2.
///
/// An unreadable `If-Match` fails the request, since it was meant to protect something. An unreadable `If-None-Match`
/// or date is ignored.
pub fn evaluate(method: &Method, headers: &HeaderMap, current: &Validators) -> Verdict {
    let reads = matches!(*method, Method::GET | Method::HEAD);

    if headers.contains_key(header::IF_MATCH) {
        if !names_current(headers, &header::IF_MATCH, current, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(limit), Some(changed)) =
        (date(headers, &header::IF_UNMODIFIED_SINCE), current.seconds())
        && changed > limit
    {
        return Verdict::Failed;
    }

    if headers.contains_key(header::IF_NONE_MATCH) {
        if names_current(headers, &header::IF_NONE_MATCH, current, Comparison::Weak) {
            return if reads { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if reads
        && let (Some(known), Some(changed)) =
            (date(headers, &header::IF_MODIFIED_SINCE), current.seconds())
        && changed <= known
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Reports whether `Range` applies: there is no `If-Range`, or it matches the resource's current state exactly (section
/// 13.1.5). Otherwise the whole file is sent, since the rest of a changed file would be of no use.
///
/// A date counts as strong. That is right if the content of one date never changes, as with sealed files. A resource
/// that can change twice within a second should have no date.
pub fn range_applies(headers: &HeaderMap, current: &Validators) -> bool {
    let mut fields = headers.get_all(header::IF_RANGE);
    let Some(field) = fields.next() else { return true };
    let Ok(text) = field.to_str() else { return false };
    if fields.next().is_some() {
        return false;
    }
    if let Some((tag, "")) = take_tag(text.trim()) {
        return current
            .tag
            .as_ref()
            .is_some_and(|current| current.equals(&tag, Comparison::Strong));
    }
    date(headers, &header::IF_RANGE).is_some_and(|asked| current.seconds() == Some(asked))
}

impl Validators {
    fn seconds(&self) -> Option<i64> {
        self.last_modified.map(|time| time.timestamp())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Equal bytes: neither tag may be weak.
    Strong,
    Weak,
}

/// Reports whether the field is `*` and the resource exists, or the field lists its tag.
fn names_current(
    headers: &HeaderMap,
    name: &HeaderName,
    current: &Validators,
    comparison: Comparison,
) -> bool {
    let Some(current) = &current.tag else { return false };
    headers
        .get_all(name)
        .filter_map(|field| field.to_str().ok())
        .any(|field| field.trim() == "*" || tags(field).any(|tag| current.equals(&tag, comparison)))
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `*`
    Any,
    Tags(Vec<EntityTag>),
}

/// Reads the value of either field. Returns none if it is neither `*` nor a list of tags. This is for callers that
/// evaluate a condition themselves, within a transaction.
pub fn read_named(field: &str) -> Option<Named> {
    let field = field.trim();
    if field == "*" {
        return Some(Named::Any);
    }
    let (mut tags, mut rest) = (Vec::new(), field);
    while !rest.is_empty() {
        let (tag, behind) = take_tag(rest)?;
        tags.push(tag);
        let behind = behind.trim_start_matches([' ', '\t']);
        rest = match behind.strip_prefix(',') {
            Some(next) => next.trim_start_matches([' ', '\t', ',']),
            None if behind.is_empty() => behind,
            None => return None,
        };
    }
    (!tags.is_empty()).then_some(Named::Tags(tags))
}

/// Returns the tags of a list, up to the first element that is not a tag.
fn tags(mut list: &str) -> impl Iterator<Item = EntityTag> {
    std::iter::from_fn(move || {
        let (tag, rest) = take_tag(list.trim_start_matches([' ', '\t', ',']))?;
        list = rest;
        Some(tag)
    })
}

/// Reads one tag. Splits on quotes and not on commas, since a tag may contain commas.
fn take_tag(text: &str) -> Option<(EntityTag, &str)> {
    let (weak, quoted) = match text.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
    Some((EntityTag { opaque: opaque.to_owned(), weak }, rest))
}

/// Returns the seconds since 1970 of a field that contains exactly one HTTP date.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let mut fields = headers.get_all(name);
    let date = httpdate::parse_http_date(fields.next()?.to_str().ok()?.trim()).ok()?;
    fields.next().is_none().then(|| DateTime::<Utc>::from(date).timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACTLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn file() -> Validators {
        let sealed = DateTime::from_timestamp(784_111_777, 900_000_000);
        Validators { tag: Some(EntityTag::strong("a")), last_modified: sealed }
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn get(fields: &[(&'static str, &str)]) -> Verdict {
        evaluate(&Method::GET, &headers(fields), &file())
    }

    #[test]
    fn if_match_wants_the_current_tag_among_its_own() {
        assert_eq!(get(&[("if-match", "\"a\"")]), Verdict::Proceed);
        assert_eq!(get(&[("if-match", "\"x\" , \"a\"")]), Verdict::Proceed);
        assert_eq!(get(&[("if-match", "*")]), Verdict::Proceed);
        for stale in ["\"x\"", "W/\"a\"", "a", "", "\"a", "\"x,a\""] {
            assert_eq!(get(&[("if-match", stale)]), Verdict::Failed, "{stale}");
        }
    }

    #[test]
    fn if_none_match_spares_the_bytes_on_reads_and_refuses_writes() {
        for known in ["\"a\"", "W/\"a\"", "*", "\"x,\",W/\"a\""] {
            assert_eq!(get(&[("if-none-match", known)]), Verdict::NotModified, "{known}");
            let put = evaluate(&Method::PUT, &headers(&[("if-none-match", known)]), &file());
            assert_eq!(put, Verdict::Failed, "{known}");
        }
        assert_eq!(get(&[("if-none-match", "\"x\"")]), Verdict::Proceed);
    }

    #[test]
    fn a_star_tells_whether_the_resource_exists() {
        let nothing = Validators::default();
        let put = |fields| evaluate(&Method::PUT, &headers(fields), &nothing);
        assert_eq!(put(&[("if-none-match", "*")]), Verdict::Proceed);
        assert_eq!(put(&[("if-match", "*")]), Verdict::Failed);
    }

    #[test]
    fn dates_count_in_whole_seconds() {
        assert_eq!(get(&[("if-modified-since", EXACTLY)]), Verdict::NotModified);
        assert_eq!(get(&[("if-modified-since", AFTER)]), Verdict::NotModified);
        assert_eq!(get(&[("if-modified-since", BEFORE)]), Verdict::Proceed);
        assert_eq!(get(&[("if-unmodified-since", EXACTLY)]), Verdict::Proceed);
        assert_eq!(get(&[("if-unmodified-since", BEFORE)]), Verdict::Failed);
    }

    #[test]
    fn tags_overrule_dates() {
        assert_eq!(
            get(&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)]),
            Verdict::Proceed
        );
        assert_eq!(
            get(&[("if-none-match", "\"x\""), ("if-modified-since", AFTER)]),
            Verdict::Proceed
        );
    }

    #[test]
    fn a_failed_if_match_comes_before_a_matching_if_none_match() {
        assert_eq!(get(&[("if-match", "\"x\""), ("if-none-match", "\"a\"")]), Verdict::Failed);
        assert_eq!(get(&[("if-match", "\"a\""), ("if-none-match", "\"a\"")]), Verdict::NotModified);
    }

    #[test]
    fn dates_that_cannot_be_read_or_compared_are_ignored() {
        assert_eq!(get(&[("if-unmodified-since", "yesterday")]), Verdict::Proceed);
        assert_eq!(get(&[("if-modified-since", "yesterday")]), Verdict::Proceed);
        let json = Validators { last_modified: None, ..file() };
        let fields = headers(&[("if-unmodified-since", BEFORE)]);
        assert_eq!(evaluate(&Method::GET, &fields, &json), Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_says_nothing_to_a_write() {
        let put = evaluate(&Method::PUT, &headers(&[("if-modified-since", AFTER)]), &file());
        assert_eq!(put, Verdict::Proceed);
    }

    #[test]
    fn if_range_lets_the_range_count_only_for_the_very_same_bytes() {
        for (value, applies) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"x\"", false),
            ("\"a\", \"x\"", false),
            (EXACTLY, true),
            (BEFORE, false),
            (AFTER, false),
            ("nonsense", false),
        ] {
            assert_eq!(
                range_applies(&headers(&[("if-range", value)]), &file()),
                applies,
                "{value}"
            );
        }
        assert!(range_applies(&headers(&[]), &file()));
    }

    #[test]
    fn a_condition_is_a_star_or_a_list_of_tags_and_nothing_else() {
        assert_eq!(read_named(" * "), Some(Named::Any));
        let tags = vec![EntityTag::strong("a,b"), EntityTag::weak("c")];
        assert_eq!(read_named(r#""a,b" , W/"c""#), Some(Named::Tags(tags)));
        for text in ["", "a", r#""a" "b""#, r#""a"#, r#""a", b"#] {
            assert_eq!(read_named(text), None, "{text}");
        }
    }
}
