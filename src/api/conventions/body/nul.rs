//! Texts that contain a NUL: JSON allows it as `\u0000`, PostgreSQL cannot store it, and no name, note or label that
//! people write contains one. It is refused in every body, or else SQLite would accept what PostgreSQL fails on.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any JSON value in which no text contains a NUL.
struct WithoutNul;

/// Reports whether a text or a key in this well-formed JSON contains a NUL.
pub(super) fn is_in(json: &[u8]) -> bool {
    // Hardly any body contains the escape at all. If one does, the backslash may still be an escaped one.
    json.windows(6).any(|escape| escape == br"\u0000")
        && serde_json::from_slice::<WithoutNul>(json).is_err_and(|error| error.is_data())
}

impl<'de> Deserialize<'de> for WithoutNul {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for WithoutNul {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without NUL characters")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') { Err(E::custom("a NUL")) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_wherever_a_text_may_stand() {
        for json in [r#""a\u0000""#, r#"{"a": [1, null, {"b": "\u0000"}]}"#, r#"{"\u0000": true}"#]
        {
            assert!(is_in(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn a_backslash_before_u0000_is_no_nul() {
        for json in [r#""\\u0000""#, r#"{"a": -1.5, "b": "\\\\u0000"}"#, r#""u0000""#] {
            assert!(!is_in(json.as_bytes()), "{json}");
        }
    }
}
