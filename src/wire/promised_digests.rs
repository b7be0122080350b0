//! The digests that clients promise for the bytes they send, in all fields that exist for it. Each promise is checked
//! or the request refused, because a client whose checksum is ignored believes that it was checked.
//!
//! The fields are `Repr-Digest` and `Content-Digest` (RFC 9530), `Digest` (RFC 3230), `Content-MD5` (RFC 1864),
//! `Upload-Checksum` (tus 1.0), `X-Checksum-…` (Artifactory), `x-amz-checksum-…` (S3). If a field has several digests,
//! those that can be compared count. A field without any of them is refused.

use actix_web::http::header::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::digest_fields;

/// The header with the digests that a client may send instead (RFC 9530 section 4).
pub static WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
pub const WANTED: &str = "sha-256=10, sha-512=8, sha=2, md5=1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

/// A digest that the bytes must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    pub algorithm: Algorithm,
    pub digest: Vec<u8>,
}

/// The reasons for which a promise cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    #[error("{0} cannot be read: the digest does not have the form of its standard")]
    Malformed(String),
    #[error(
        "{0} names no digest that this server checks: send sha-256, sha-512, sha-1 or md5, or none"
    )]
    Unknown(String),
}

/// The form of the digest in a field.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A dictionary of byte sequences.
    Structured,
    /// The form `SHA-256=base64`, separated by commas.
    Instance,
    /// The form `sha1 base64`.
    Tus,
    Base64(Algorithm),
    Hex(Algorithm),
    /// A digest of an algorithm that is not computed here.
    Other,
}

const FIELDS: [(&str, Form); 15] = [
    ("repr-digest", Form::Structured),
    ("content-digest", Form::Structured),
    ("digest", Form::Instance),
    ("upload-checksum", Form::Tus),
    ("content-md5", Form::Base64(Algorithm::Md5)),
    ("x-checksum-md5", Form::Hex(Algorithm::Md5)),
    ("x-checksum-sha1", Form::Hex(Algorithm::Sha1)),
    ("x-checksum-sha256", Form::Hex(Algorithm::Sha256)),
    ("x-checksum-sha512", Form::Hex(Algorithm::Sha512)),
    ("x-amz-checksum-sha1", Form::Base64(Algorithm::Sha1)),
    ("x-amz-checksum-sha256", Form::Base64(Algorithm::Sha256)),
    ("x-amz-checksum-crc32", Form::Other),
    ("x-amz-checksum-crc32c", Form::Other),
    ("x-amz-checksum-crc64nvme", Form::Other),
    ("x-goog-hash", Form::Other),
];

/// Returns the digests that the fields of a request promise for its body.
pub fn promised(headers: &HeaderMap) -> Result<Vec<Promise>, Unsupported> {
    let mut promises = Vec::new();
    for (name, form) in FIELDS {
        let mut compared = 0;
        let mut present = false;
        for line in headers.get_all(name) {
            present = true;
            let malformed = || Unsupported::Malformed(name.to_owned());
            let line = line.to_str().map_err(|_| malformed())?;
            for promise in read(form, line).ok_or_else(malformed)? {
                compared += 1;
                if !promises.contains(&promise) {
                    promises.push(promise);
                }
            }
        }
        if present && compared == 0 {
            return Err(Unsupported::Unknown(name.to_owned()));
        }
    }
    Ok(promises)
}

/// Reads a field. Returns none if it cannot be read. Algorithms that are not compared are skipped.
fn read(form: Form, line: &str) -> Option<Vec<Promise>> {
    match form {
        Form::Structured => {
            let members = digest_fields::members(line).ok()?;
            let known = members
                .into_iter()
                .filter_map(|(name, digest)| Some((Algorithm::named(name)?, digest)));
            known.map(|(algorithm, digest)| algorithm.promise(digest)).collect()
        }
        Form::Instance => {
            let members = line.split(',').map(str::trim).filter(|member| !member.is_empty());
            let mut promises = Vec::new();
            for member in members {
                let (name, value) = member.split_once('=')?;
                let Some(algorithm) = Algorithm::named(name.trim()) else { continue };
                promises.push(algorithm.promise(base64(value.split(';').next()?.trim())?)?);
            }
            Some(promises)
        }
        Form::Tus => {
            let (name, value) = line.trim().split_once(' ')?;
            let Some(algorithm) = Algorithm::named(name) else { return Some(Vec::new()) };
            Some(vec![algorithm.promise(base64(value)?)?])
        }
        Form::Base64(algorithm) => Some(vec![algorithm.promise(base64(line.trim())?)?]),
        Form::Hex(algorithm) => Some(vec![algorithm.promise(hex::decode(line.trim()).ok()?)?]),
        Form::Other => Some(Vec::new()),
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

impl Algorithm {
    /// Returns the algorithm of a name in RFC 9530, RFC 3230 or tus.
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "md5" => Self::Md5,
            "sha" | "sha1" | "sha-1" => Self::Sha1,
            "sha-256" | "sha256" => Self::Sha256,
            "sha-512" | "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// Returns the name in RFC 9530.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha",
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn promise(self, digest: Vec<u8>) -> Option<Promise> {
        (digest.len() == self.length()).then_some(Promise { algorithm: self, digest })
    }
}

/// A check of one promise: it hashes bytes as they arrive and compares the digest at their end.
pub struct DigestCheck {
    promise: Promise,
    hash: Hash,
}

enum Hash {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

/// The digest that was promised, and the actual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub expected: String,
    pub actual: String,
}

impl DigestCheck {
    pub fn of(promise: Promise) -> Self {
        let hash = match promise.algorithm {
            Algorithm::Md5 => Hash::Md5(Md5::new()),
            Algorithm::Sha1 => Hash::Sha1(Sha1::new()),
            Algorithm::Sha256 => Hash::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hash::Sha512(Box::default()),
        };
        Self { promise, hash }
    }

    pub fn see(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Md5(hash) => hash.update(bytes),
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
    }

    pub fn judge(self) -> Result<(), Broken> {
        let actual: Vec<u8> = match self.hash {
            Hash::Md5(hash) => hash.finalize().to_vec(),
            Hash::Sha1(hash) => hash.finalize().to_vec(),
            Hash::Sha256(hash) => hash.finalize().to_vec(),
            Hash::Sha512(hash) => hash.finalize().to_vec(),
        };
        let Promise { algorithm, digest } = self.promise;
        if digest == actual {
            return Ok(());
        }
        let shown = |digest: &[u8]| format!("{}:{}", algorithm.name(), hex::encode(digest));
        Err(Broken { expected: shown(&digest), actual: shown(&actual) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of "hello world", computed by md5sum and sha1sum.
    const MD5: &str = "XrY7u+Ae7tCTyyK7j1rNww==";
    const SHA1: &str = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed";

    fn of(name: &'static str, value: &str) -> Result<Vec<Promise>, Unsupported> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        promised(&headers)
    }

    fn is_kept(name: &'static str, value: &str) -> bool {
        let promise = of(name, value).unwrap().remove(0);
        let mut witness = DigestCheck::of(promise);
        witness.see(b"hello ");
        witness.see(b"world");
        witness.judge().is_ok()
    }

    #[test]
    fn promises_are_read_in_every_form_and_compared() {
        assert!(is_kept("content-md5", MD5));
        assert!(is_kept("digest", &format!("MD5={MD5}")));
        assert!(is_kept("content-digest", &format!("md5=:{MD5}:;q=1")));
        assert!(is_kept("x-checksum-sha1", SHA1));
        assert!(is_kept("upload-checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="));
        assert!(!is_kept("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="));
        let sha512 = STANDARD.encode(Sha512::digest(b"hello world"));
        assert!(is_kept("repr-digest", &format!("sha-512=:{sha512}:")));
        assert!(is_kept("repr-digest", &format!("unixsum=:AAA=:, sha-512=:{sha512}:")));
    }

    #[test]
    fn what_nobody_computes_and_what_is_no_digest_is_refused() {
        for (name, value) in [
            ("repr-digest", "unixsum=:AAA=:"),
            ("x-amz-checksum-crc32c", "AAAAAA=="),
            ("digest", "crc32c=AAAAAA=="),
            ("upload-checksum", "crc32 AAAAAA=="),
        ] {
            assert_eq!(of(name, value), Err(Unsupported::Unknown(name.to_owned())));
        }
        for (name, value) in [
            ("content-md5", "abc"),
            ("x-checksum-sha256", "zz"),
            ("repr-digest", "sha-256=abc"),
            ("upload-checksum", "sha1"),
        ] {
            assert_eq!(of(name, value), Err(Unsupported::Malformed(name.to_owned())));
        }
    }
}
