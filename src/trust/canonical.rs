//! The form of JSON that is signed: OLPC's canonical JSON, by the crate that TUF's Rust client uses.

use olpc_cjson::CanonicalFormatter;
use serde::Serialize;

/// Returns the canonical form. Types whose values have no such form (numbers with fractions, maps whose keys are not
/// text) are not used here; such a value gives empty bytes, which no signature fits.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, CanonicalFormatter::new());
    if value.serialize(&mut serializer).is_err() {
        return Vec::new();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_there_is_no_space() {
        let value = json!({"b": [1, {"d": null, "c": true}], "a": "x\"\\y"});
        assert_eq!(canonical(&value), br#"{"a":"x\"\\y","b":[1,{"c":true,"d":null}]}"#);
        assert_eq!(canonical(&json!({"a": 1.5})), b"");
    }
}
