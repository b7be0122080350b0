//! The text of names. Certificates have eight encodings for it.

use x509_parser::asn1_rs::{Any, Class, Tag};

use super::malformed::MalformedCertificate;

/// Returns a string's text, or none for values of other types, which no rule asks about.
pub(super) fn read(value: &Any<'_>) -> Result<Option<String>, MalformedCertificate> {
    if value.class() != Class::Universal {
        return Ok(None);
    }
    let bytes = value.data;
    let text = match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            bytes.is_ascii().then(|| latin_1(bytes))
        }
        // T.61 has shift sequences of its own, which nobody uses: in practice the text is Latin-1.
        Tag::T61String => Some(latin_1(bytes)),
        Tag::BmpString => utf_16(bytes),
        Tag::UniversalString => utf_32(bytes),
        _ => return Ok(None),
    };
    text.map(Some).ok_or(MalformedCertificate::Text)
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn utf_16(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(2);
    if !units.remainder().is_empty() {
        return None;
    }
    let units: Vec<u16> = units.map(|unit| u16::from_be_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).ok()
}

fn utf_32(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(4);
    if !units.remainder().is_empty() {
        return None;
    }
    units
        .map(|unit| char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]])))
        .collect()
}
