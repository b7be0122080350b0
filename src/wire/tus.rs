//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): its fields, read and written.
//!
//! Core and the extensions creation, creation-defer-length, creation-with-upload, checksum, expiration and termination.
//! Unlike in the IETF's draft, a field that cannot be read is an error: tus has no rule to ignore it, and what a client
//! wanted to say about its bytes must not be ignored.

use std::time::SystemTime;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

pub use super::resumable::{UPLOAD_LENGTH, UPLOAD_OFFSET};

/// The protocol version of a message.
pub static TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// The protocol versions that the server supports.
pub static TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub static TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// The largest file, in bytes.
pub static TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub static TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
/// The description of the file: keys with base64 values.
pub static UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// The checksum of the bytes in this request.
pub static UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// The time at which an unfinished upload is deleted.
pub static UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Says that the length comes later: its only value is [`DEFERRED`].
pub static UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// Says that the upload is a part of another, which is not supported here.
pub static UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
/// The intended method, from clients that can only send POST.
pub static METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The only supported version.
pub const VERSION: &str = "1.0.0";
pub const EXTENSIONS: &str =
    "creation,creation-defer-length,creation-with-upload,checksum,expiration,termination";
pub const CHECKSUM_ALGORITHMS: &str = "sha1,sha256";

pub const DEFERRED: &str = "1";

/// The longest `Upload-Metadata` that is kept with an upload, in bytes.
const LONGEST_METADATA: usize = 4096;

/// The media type of appended bytes.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// The reasons for which a field cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedField {
    #[error("{0} must be a whole number of bytes, from 0")]
    Number(HeaderName),
    #[error("{0} occurs more than once")]
    Repeated(HeaderName),
    #[error(
        "Upload-Metadata must be a list of keys, each followed by a space and its value in base64"
    )]
    Metadata,
    #[error("Upload-Metadata may have at most {LONGEST_METADATA} bytes")]
    MetadataTooLong,
    #[error("Upload-Defer-Length must be 1 if it is sent")]
    DeferLength,
    #[error("Upload-Metadata has the key {0} twice")]
    RepeatedKey(String),
    #[error(
        "Upload-Checksum must be the name of an algorithm, a space, and the checksum in base64"
    )]
    Checksum,
    #[error("Upload-Checksum supports the algorithms sha1 and sha256")]
    ChecksumAlgorithm,
}

/// Reads a whole number of bytes. A number beyond 64 bits is larger than any file, as is `u64::MAX`.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, MalformedField> {
    let Some(text) = single(headers, name)? else { return Ok(None) };
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits {
        return Err(MalformedField::Number(name.clone()));
    }
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// Reports whether the file's length will follow later, with some of its bytes.
pub fn is_deferred(headers: &HeaderMap) -> Result<bool, MalformedField> {
    match single(headers, &UPLOAD_DEFER_LENGTH)? {
        None => Ok(false),
        Some(DEFERRED) => Ok(true),
        Some(_) => Err(MalformedField::DeferLength),
    }
}

/// The description of the file in `Upload-Metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(String, Vec<u8>)>,
    /// The field's value as it was sent, if it was there.
    pub as_sent: Option<String>,
}

impl Metadata {
    /// Reads the field. A missing field counts as an empty one.
    pub fn read(headers: &HeaderMap) -> Result<Self, MalformedField> {
        match single(headers, &UPLOAD_METADATA)? {
            Some(text) => Self::parse(text),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self, MalformedField> {
        if text.len() > LONGEST_METADATA {
            return Err(MalformedField::MetadataTooLong);
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = STANDARD.decode(value.trim()).map_err(|_| MalformedField::Metadata)?;
            if !key.is_ascii() {
                return Err(MalformedField::Metadata);
            }
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(MalformedField::RepeatedKey(key.to_owned()));
            }
            pairs.push((key.to_owned(), value));
        }
        Ok(Self { pairs, as_sent: Some(text.to_owned()) })
    }

    /// Returns the value of a key as text, or none if it is missing or not UTF-8.
    pub fn text(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(name, _)| name == key)?;
        str::from_utf8(value).ok()
    }

    /// Returns the field's value for our own keys, which need no quoting.
    pub fn write(pairs: &[(&str, &str)]) -> String {
        let pairs = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// The checksum of a request's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

/// Reads `Upload-Checksum`, if it is there.
pub fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, MalformedField> {
    let Some(text) = single(headers, &UPLOAD_CHECKSUM)? else { return Ok(None) };
    let (algorithm, encoded) = text.split_once(' ').ok_or(MalformedField::Checksum)?;
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| MalformedField::Checksum)?;
    let checksum = match algorithm {
        "sha1" => Checksum::Sha1(bytes.try_into().map_err(|_| MalformedField::Checksum)?),
        "sha256" => Checksum::Sha256(bytes.try_into().map_err(|_| MalformedField::Checksum)?),
        _ => return Err(MalformedField::ChecksumAlgorithm),
    };
    Ok(Some(checksum))
}

/// Returns the value of `Upload-Expires`: an IMF-fixdate (RFC 9110 section 5.6.7).
pub fn write_expires(at: DateTime<Utc>) -> String {
    httpdate::fmt_http_date(SystemTime::from(at))
}

/// Returns the value of a field that may occur at most once.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, MalformedField> {
    let mut lines = headers.get_all(name);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(MalformedField::Repeated(name.clone()));
    }
    // Text with invisible characters is not a valid number, base64 or algorithm either.
    Ok(Some(HeaderValue::to_str(line).unwrap_or("\u{fffd}").trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), line.parse().unwrap())).collect()
    }

    fn metadata(line: &str) -> Result<Metadata, MalformedField> {
        Metadata::read(&headers(&UPLOAD_METADATA, &[line]))
    }

    #[test]
    fn a_number_is_digits_alone() {
        let read = |line| number(&headers(&UPLOAD_OFFSET, &[line]), &UPLOAD_OFFSET);
        assert_eq!(read("0"), Ok(Some(0)));
        assert_eq!(read("00100"), Ok(Some(100)));
        assert_eq!(read("99999999999999999999999"), Ok(Some(u64::MAX)));
        for line in ["", "-1", "+1", "1.0", "1e3", "0x10", "ten", "1 2", "1,2"] {
            assert_eq!(read(line), Err(MalformedField::Number(UPLOAD_OFFSET.clone())), "{line}");
        }
        assert_eq!(number(&HeaderMap::new(), &UPLOAD_OFFSET), Ok(None));
    }

    #[test]
    fn a_field_that_comes_twice_is_refused() {
        let twice = headers(&UPLOAD_LENGTH, &["5", "5"]);
        let refused = Err(MalformedField::Repeated(UPLOAD_LENGTH.clone()));
        assert_eq!(number(&twice, &UPLOAD_LENGTH), refused);
    }

    #[test]
    fn metadata_has_base64_values() {
        let read =
            metadata("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential").unwrap();
        assert_eq!(read.text("filename"), Some("world_domination_plan.pdf"));
        assert_eq!(read.text("is_confidential"), Some(""));
        assert_eq!(read.text("Filename"), None);
        assert_eq!(metadata("").unwrap().text("filename"), None);
        assert_eq!(metadata("a  YQ== , b Yg==").unwrap().text("b"), Some("b"));
        assert_eq!(metadata("bytes /w==").unwrap().text("bytes"), None);
    }

    #[test]
    fn metadata_that_is_none_is_refused() {
        for line in ["a !!!", "a YQ", "a YQ== YQ==", "a \u{e4}"] {
            let line = headers(&UPLOAD_METADATA, &[line]);
            assert_eq!(Metadata::read(&line), Err(MalformedField::Metadata), "{line:?}");
        }
        assert_eq!(metadata("a YQ==,a YQ=="), Err(MalformedField::RepeatedKey("a".to_owned())));
    }

    #[test]
    fn metadata_is_kept_as_it_was_sent_within_bounds() {
        let sent = "filename d29ybGQ= ,is_confidential";
        assert_eq!(metadata(sent).unwrap().as_sent.as_deref(), Some(sent));
        assert_eq!(Metadata::read(&HeaderMap::new()).unwrap().as_sent, None);
        let long = format!("filename {}", "QUFB".repeat(1100));
        assert_eq!(metadata(&long), Err(MalformedField::MetadataTooLong));
    }

    #[test]
    fn a_length_that_comes_later_is_said_by_a_one() {
        let read = |line| is_deferred(&headers(&UPLOAD_DEFER_LENGTH, &[line]));
        assert_eq!(read("1"), Ok(true));
        assert_eq!(is_deferred(&HeaderMap::new()), Ok(false));
        for line in ["0", "2", "true", "", "1, 1"] {
            assert_eq!(read(line), Err(MalformedField::DeferLength), "{line}");
        }
    }

    #[test]
    fn metadata_is_read_back_as_it_was_written() {
        let written = Metadata::write(&[("image", "win7-office"), ("revision", "3")]);
        assert_eq!(written, "image d2luNy1vZmZpY2U=,revision Mw==");
        assert_eq!(metadata(&written).unwrap().text("image"), Some("win7-office"));
    }

    #[test]
    fn a_checksum_names_its_algorithm() {
        let read = |line| checksum(&headers(&UPLOAD_CHECKSUM, &[line]));
        // The example of the protocol: "hello world".
        let hello = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
        assert!(matches!(read(hello), Ok(Some(Checksum::Sha1([0x2a, 0xae, ..])))));
        let empty = "sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(matches!(read(empty), Ok(Some(Checksum::Sha256([0xe3, 0xb0, ..])))));
        for line in
            ["sha1", "sha1 ", "sha1 AAAA", "sha1 !!!!", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0="]
        {
            assert_eq!(read(line), Err(MalformedField::Checksum), "{line}");
        }
        for line in ["md5 rL0Y20zC+Fzt72VPzMSk2A==", "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
            assert_eq!(read(line), Err(MalformedField::ChecksumAlgorithm), "{line}");
        }
    }

    #[test]
    fn an_expiry_is_written_as_http_writes_dates() {
        let at = DateTime::from_timestamp(1_403_712_000, 5_000_000).unwrap();
        assert_eq!(write_expires(at), "Wed, 25 Jun 2014 16:00:00 GMT");
    }
}
