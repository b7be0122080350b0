//! The kinds of names in a certificate: attributes of subject and issuer, and alternative names.

use std::fmt;
use std::str::FromStr;

use x509_parser::asn1_rs::Oid;

/// The names of attribute types, as they are written in names of certificates. The first one of each is used for
/// display. `S`, `T`, `I`, `G` and `E` are the names that Windows uses.
const ATTRIBUTE_NAMES: [(&str, &[&str]); 15] = [
    ("2.5.4.3", &["CN", "commonName"]),
    ("2.5.4.4", &["SN", "surname"]),
    ("2.5.4.5", &["serialNumber"]),
    ("2.5.4.6", &["C", "countryName"]),
    ("2.5.4.7", &["L", "localityName"]),
    ("2.5.4.8", &["ST", "S", "stateOrProvinceName"]),
    ("2.5.4.9", &["STREET", "streetAddress"]),
    ("2.5.4.10", &["O", "organizationName"]),
    ("2.5.4.11", &["OU", "organizationalUnitName"]),
    ("2.5.4.12", &["title", "T"]),
    ("2.5.4.42", &["GN", "G", "givenName"]),
    ("2.5.4.43", &["initials", "I"]),
    ("0.9.2342.19200300.100.1.25", &["DC", "domainComponent"]),
    ("0.9.2342.19200300.100.1.1", &["UID", "userId"]),
    ("1.2.840.113549.1.9.1", &["emailAddress", "E", "email"]),
];

/// The type of an attribute of a name: an object identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributeType(String);

/// A kind of subject-alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlternativeKind {
    Dns,
    Email,
    Uri,
    /// An IP address, in its usual text form.
    Ip,
    /// A Windows user's principal name.
    Upn,
}

impl AttributeType {
    /// Returns the type of common names (RFC 4519 section 2.3).
    pub fn common_name() -> Self {
        Self("2.5.4.3".to_owned())
    }

    pub(super) fn of(oid: &Oid<'_>) -> Self {
        Self(oid.to_id_string())
    }
}

/// The error for a text that names no attribute type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an attribute must be CN, OU, O, L, ST (or S), C, STREET, DC, UID, SN, GN, title, initials, serialNumber, \
     emailAddress (or E), or an object identifier such as 2.5.4.3"
)]
pub struct UnknownAttribute;

impl FromStr for AttributeType {
    type Err = UnknownAttribute;

    /// Reads a name, without regard to case, or an object identifier.
    fn from_str(text: &str) -> Result<Self, UnknownAttribute> {
        let is_named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if let Some((oid, _)) = ATTRIBUTE_NAMES.iter().find(|(_, names)| is_named(names)) {
            return Ok(Self((*oid).to_owned()));
        }
        let is_arc = |arc: &str| {
            let digits = !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
            digits && (arc == "0" || !arc.starts_with('0'))
        };
        let arcs: Vec<&str> = text.split('.').collect();
        let well_formed =
            text.len() <= 128 && arcs.len() >= 2 && arcs.iter().all(|arc| is_arc(arc));
        let begins_well = matches!(arcs[0], "0" | "1" | "2");
        if well_formed && begins_well { Ok(Self(text.to_owned())) } else { Err(UnknownAttribute) }
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = ATTRIBUTE_NAMES.iter().find(|(oid, _)| *oid == self.0);
        f.write_str(known.map_or(self.0.as_str(), |(_, names)| names[0]))
    }
}

/// The error for a text that names no kind of alternative name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an alternative name must be dns, email, uri, ip or upn")]
pub struct UnknownKind;

impl FromStr for AlternativeKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text.to_ascii_lowercase().as_str() {
            "dns" => Ok(Self::Dns),
            "email" => Ok(Self::Email),
            "uri" => Ok(Self::Uri),
            "ip" => Ok(Self::Ip),
            "upn" => Ok(Self::Upn),
            _ => Err(UnknownKind),
        }
    }
}

impl fmt::Display for AlternativeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Ip => "ip",
            Self::Upn => "upn",
        })
    }
}
