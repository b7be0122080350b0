//! `Repr-Digest` and `Content-Digest` (RFC 9530): SHA-256 in a structured field (RFC 9651).
//!
//! [`read`] takes only `sha-256`, which is the digest that the catalog keeps. [`super::promised_digests`] handles the
//! other digests that are compared. Callers compare a digest with the bytes that arrived.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::model::Digest;

/// The digest of the whole selected representation, whatever range of it is sent.
pub static REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The digest of the bytes in this message.
pub static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The field is not a dictionary of byte sequences, or its `sha-256` is not 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest field must have the form sha-256=:<base64 of 32 bytes>:")]
pub struct MalformedDigestField;

/// Returns the `sha-256` in the request's field `name`, if any. All lines of a field form one dictionary, in which the
/// last member of a name counts.
pub fn read(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<Option<Digest>, MalformedDigestField> {
    let mut digest = None;
    for line in headers.get_all(name) {
        let line = line.to_str().map_err(|_| MalformedDigestField)?;
        digest = parse(line)?.or(digest);
    }
    Ok(digest)
}

/// Returns the value of either field for a digest.
pub fn write(digest: Digest) -> String {
    format!("sha-256=:{}:", BASE64.encode(digest.as_bytes()))
}

/// Returns the value of `Digest` (RFC 3230 section 4.3.2), which RFC 9530 replaces and clients still read.
pub fn write_instance(digest: Digest) -> String {
    format!("SHA-256={}", BASE64.encode(digest.as_bytes()))
}

/// Reports whether a line of `Want-Digest` (RFC 3230 section 4.3.1) accepts SHA-256.
pub fn asks_for_sha256(line: &HeaderValue) -> bool {
    let line = line.to_str().unwrap_or_default();
    line.split(',').any(|member| {
        let mut parts = member.split(';').map(str::trim);
        let is_sha256 = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("sha-256"));
        is_sha256 && !parts.any(|quality| matches!(quality, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// The base64 codec: padding is written, and optional when reading (RFC 9651 section 4.2.7).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn parse(line: &str) -> Result<Option<Digest>, MalformedDigestField> {
    let of_sha256 = |(name, _): &(&str, _)| *name == "sha-256";
    let Some((_, bytes)) = members(line)?.into_iter().rfind(of_sha256) else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| MalformedDigestField)?;
    Ok(Some(Digest::from_bytes(bytes)))
}

/// Returns the algorithms in a line of either field, with their digests.
pub fn members(line: &str) -> Result<Vec<(&str, Vec<u8>)>, MalformedDigestField> {
    if line.trim().is_empty() {
        return Ok(Vec::new());
    }
    // Neither base64 nor a key contains a comma, so the members need no scanner.
    let members = line.split(',').map(|member| {
        let member = member.trim_matches([' ', '\t']);
        let (algorithm, value) = member.split_once('=').filter(|(key, _)| is_key(key))?;
        Some((algorithm, BASE64.decode(byte_sequence(value)?).ok()?))
    });
    members.collect::<Option<_>>().ok_or(MalformedDigestField)
}

/// Returns the text between the colons. Parameters may follow (RFC 9651 section 3.1.2), but RFC 9530 defines none.
fn byte_sequence(value: &str) -> Option<&str> {
    let (text, rest) = value.strip_prefix(':')?.split_once(':')?;
    (rest.is_empty() || rest.starts_with(';')).then_some(text)
}

fn is_key(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of `{"hello": "world"}` and a line feed, the example of RFC 9530.
    const EXAMPLE: &str = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=";

    fn example() -> Digest {
        Digest::of(b"{\"hello\": \"world\"}\n")
    }

    #[test]
    fn a_digest_is_written_as_the_rfc_shows_it() {
        assert_eq!(write(example()), format!("sha-256=:{EXAMPLE}:"));
    }

    #[test]
    fn a_digest_is_found_among_others() {
        for line in [
            format!("sha-256=:{EXAMPLE}:"),
            format!("sha-256=:{}:", EXAMPLE.trim_end_matches('=')),
            format!("unixsum=:AAA=:,sha-256=:{EXAMPLE}:"),
            format!("sha-256=:{}:, sha-256=:{EXAMPLE}:", &write(Digest::of(b"other"))[9..53]),
        ] {
            assert_eq!(parse(&line), Ok(Some(example())), "{line}");
        }
    }

    #[test]
    fn other_algorithms_alone_say_nothing() {
        assert_eq!(parse("md5=:AAAAAAAAAAAAAAAAAAAAAA==:"), Ok(None));
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn a_field_that_is_no_dictionary_of_digests_is_refused() {
        for line in [
            "sha-256",
            "sha-256=abc",
            "sha-256=:abc",
            "sha-256=::",
            "sha-256=:AAAA:",
            "sha-256=:!!!!:",
            "SHA-256=:AAAA:",
            "sha-256=\"AAAA\"",
            ",",
            "md5=:AAAA:,",
            "=:AAAA:",
            "md5 =:AAAA:",
        ] {
            assert_eq!(parse(line), Err(MalformedDigestField), "{line}");
        }
    }

    #[test]
    fn parameters_behind_a_digest_change_nothing() {
        assert_eq!(parse(&format!("sha-256=:{EXAMPLE}:;q=1")), Ok(Some(example())));
    }

    #[test]
    fn an_older_client_asks_in_the_words_of_rfc_3230() {
        for (line, asked) in [
            ("SHA-256;q=1, SHA;q=0.5", true),
            ("MD5;q=0.3, sha-256", true),
            ("SHA-256;q=0", false),
            ("SHA-512", false),
        ] {
            assert_eq!(asks_for_sha256(&line.parse().unwrap()), asked, "{line}");
        }
        assert_eq!(write_instance(example()), format!("SHA-256={EXAMPLE}"));
    }

    #[test]
    fn lines_of_one_field_are_one_dictionary() {
        let mut headers = HeaderMap::new();
        headers.append(REPR_DIGEST.clone(), format!("sha-256=:{EXAMPLE}:").parse().unwrap());
        headers.append(REPR_DIGEST.clone(), "md5=:AAAA:".parse().unwrap());
        assert_eq!(read(&headers, &REPR_DIGEST), Ok(Some(example())));
        assert_eq!(read(&headers, &CONTENT_DIGEST), Ok(None));
    }
}
