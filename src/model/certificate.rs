//! Certificates (X.509, RFC 5280): the names in them that say whom they identify.
//!
//! A certificate is read as a whole. If any text in it cannot be read, the whole certificate is malformed: if only that
//! name were left out, a rule that denies would not see it. The TLS handshake checks whether a certificate is genuine
//! and which authority signed it.

mod kinds;
mod malformed;
mod text;

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use x509_parser::asn1_rs::{Any, Class, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{X509Name, X509Version};

pub use kinds::{AlternativeKind, AttributeType, UnknownAttribute, UnknownKind};
use malformed::LARGEST;
pub use malformed::MalformedCertificate;

use super::Digest;
use super::pem::{self, CERTIFICATE, Content};

/// The type of `otherName` that holds a Windows user's principal name.
const PRINCIPAL_NAME: &str = "1.3.6.1.4.1.311.20.2.3";

/// A certificate, and the names in it.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    subject: Vec<(AttributeType, String)>,
    issuer: Vec<(AttributeType, String)>,
    alternative_names: Vec<(AlternativeKind, String)>,
    not_after: DateTime<Utc>,
    is_version_1: bool,
}

impl Certificate {
    pub fn from_der(der: &[u8]) -> Result<Self, MalformedCertificate> {
        if der.len() > LARGEST {
            return Err(MalformedCertificate::TooLarge);
        }
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| MalformedCertificate::Structure)?;
        if !rest.is_empty() {
            return Err(MalformedCertificate::Structure);
        }
        let alternative =
            parsed.subject_alternative_name().map_err(|_| MalformedCertificate::Structure)?;
        let mut alternative_names = Vec::new();
        for name in alternative.iter().flat_map(|names| &names.value.general_names) {
            alternative_names.extend(alternative_name(name)?);
        }
        let not_after = DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0);
        Ok(Self {
            subject: attributes(parsed.subject())?,
            issuer: attributes(parsed.issuer())?,
            alternative_names,
            not_after: not_after.ok_or(MalformedCertificate::Structure)?,
            is_version_1: parsed.version() == X509Version::V1,
            der: der.to_vec(),
        })
    }

    /// Reads the only certificate in a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, MalformedCertificate> {
        Self::from_der(&der_of_pem(pem)?)
    }

    pub fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }

    /// Reports whether the certificate is of X.509 version 1. Such a certificate has no extensions, so nothing says
    /// that it is for a client, and no TLS library accepts it.
    pub const fn is_version_1(&self) -> bool {
        self.is_version_1
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 of the whole certificate. It identifies this certificate, but not a renewal of it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Returns all values of an attribute of the subject's name, in no particular order.
    pub fn subject_values(&self, attribute: &AttributeType) -> impl Iterator<Item = &str> {
        values(&self.subject, attribute)
    }

    /// Returns the subject's common name, if it has exactly one.
    pub fn common_name(&self) -> Option<&str> {
        let common_name = AttributeType::common_name();
        let mut names = self.subject_values(&common_name);
        let name = names.next()?;
        names.next().is_none().then_some(name)
    }

    pub fn issuer_values(&self, attribute: &AttributeType) -> impl Iterator<Item = &str> {
        values(&self.issuer, attribute)
    }

    pub fn alternative_names(&self, kind: AlternativeKind) -> impl Iterator<Item = &str> {
        let of_kind = self.alternative_names.iter().filter(move |(other, _)| *other == kind);
        of_kind.map(|(_, value)| value.as_str())
    }

    /// Returns the subject's name for display: `CN=alice, OU=Sales`.
    pub fn shown_subject(&self) -> String {
        shown(&self.subject)
    }

    pub fn shown_issuer(&self) -> String {
        shown(&self.issuer)
    }

    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }
}

/// Returns the bytes of the only certificate in a PEM text, without parsing them. Text around the section is ignored,
/// as in all other programs.
pub fn der_of_pem(pem: &str) -> Result<Vec<u8>, MalformedCertificate> {
    let sections = pem::sections(pem.as_bytes()).map_err(|_| MalformedCertificate::BrokenPem)?;
    let mut found = None;
    for section in sections {
        match (section.label.as_str(), section.content) {
            (CERTIFICATE, Content::Der(_)) if found.is_some() => {
                return Err(MalformedCertificate::Several);
            }
            (CERTIFICATE, Content::Der(der)) => found = Some(der),
            _ => return Err(MalformedCertificate::SomethingElse),
        }
    }
    found.ok_or(MalformedCertificate::NotThere)
}

fn values<'a>(
    name: &'a [(AttributeType, String)],
    wanted: &AttributeType,
) -> impl Iterator<Item = &'a str> {
    name.iter().filter(move |(attribute, _)| attribute == wanted).map(|(_, value)| value.as_str())
}

/// Formats a name for display. Control characters are escaped, so that a name cannot start a new line.
fn shown(name: &[(AttributeType, String)]) -> String {
    let mut text = String::new();
    for (attribute, value) in name {
        let comma = if text.is_empty() { "" } else { ", " };
        let _infallible = write!(text, "{comma}{attribute}=");
        for c in value.chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
    }
    text
}

/// Shows the subject, which is not secret, and the fingerprint. The rest of a certificate means nothing to people.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.shown_subject())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

fn attributes(name: &X509Name<'_>) -> Result<Vec<(AttributeType, String)>, MalformedCertificate> {
    let mut attributes = Vec::new();
    for attribute in name.iter_attributes() {
        if let Some(value) = text::read(attribute.attr_value())? {
            attributes.push((AttributeType::of(attribute.attr_type()), value));
        }
    }
    Ok(attributes)
}

/// Reads an alternative name. Returns none for kinds that no rule asks about.
fn alternative_name(
    name: &GeneralName<'_>,
) -> Result<Option<(AlternativeKind, String)>, MalformedCertificate> {
    use AlternativeKind as Kind;
    let plain = |kind, text: &str| Ok(Some((kind, text.to_owned())));
    match name {
        GeneralName::DNSName(name) => plain(Kind::Dns, name),
        GeneralName::RFC822Name(address) => plain(Kind::Email, address),
        GeneralName::URI(uri) => plain(Kind::Uri, uri),
        GeneralName::IPAddress(bytes) => plain(Kind::Ip, &address(bytes)?.to_string()),
        GeneralName::OtherName(kind, value) if kind.to_id_string() == PRINCIPAL_NAME => {
            plain(Kind::Upn, &principal_name(value)?)
        }
        GeneralName::Invalid(..) => Err(MalformedCertificate::Text),
        GeneralName::OtherName(..)
        | GeneralName::DirectoryName(_)
        | GeneralName::X400Address(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_) => Ok(None),
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, MalformedCertificate> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).map_err(|_| MalformedCertificate::Text)?;
    Ok(Ipv6Addr::from(sixteen).into())
}

/// Reads `[0] EXPLICIT UTF8String`, which follows the type of the `otherName`.
fn principal_name(value: &[u8]) -> Result<String, MalformedCertificate> {
    let malformed = MalformedCertificate::Text;
    let (rest, outer) = Any::from_der(value).map_err(|_| malformed)?;
    if !rest.is_empty() || outer.class() != Class::ContextSpecific || outer.tag() != Tag(0) {
        return Err(malformed);
    }
    let (rest, inner) = Any::from_der(outer.data).map_err(|_| malformed)?;
    if !rest.is_empty() {
        return Err(malformed);
    }
    text::read(&inner)?.ok_or(malformed)
}

#[cfg(test)]
mod tests;
