//! Values of JSON documents as people read them: in the cells of tables and records.
//!
//! The documents are the server's, and newer servers send more fields and other values: every value has a text here.

use indicatif::BinaryBytes;
use serde_json::Value;

/// The text for a value that is absent, null or empty.
pub const NOTHING: &str = "-";

/// Returns the value as text. Lists are separated by commas, and objects are written as `key=value`.
pub fn text(value: &Value) -> String {
    let shown = match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().any(is_nested) => value.to_string(),
        Value::Object(fields) if fields.values().any(is_nested) => value.to_string(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(key, value)| format!("{key}={}", text(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    };
    if shown.is_empty() { NOTHING.to_owned() } else { shown }
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// Returns the first line of a text, with an ellipsis if there are more.
pub fn first_line(value: &Value) -> String {
    let text = text(value);
    match text.split_once('\n') {
        Some((first, _)) => format!("{} …", first.trim_end()),
        None => text,
    }
}

/// Returns a time to the second, `2026-01-05 09:30:00Z`. Another text stays as it is.
pub fn time(value: &Value) -> String {
    let text = text(value);
    if !is_time(&text) {
        return text;
    }
    let zone = text[19..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    format!("{} {}{zone}", &text[..10], &text[11..19])
}

/// Reports whether a text begins as an RFC 3339 time does.
pub fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let fits = |(letter, form): (u8, &u8)| match form {
        b'0' => letter.is_ascii_digit(),
        form => letter == *form,
    };
    text.len() > FORM.len() && text.bytes().zip(FORM).all(fits)
}

/// Returns a number of bytes, `5.00 GiB`.
pub fn bytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), |bytes| BinaryBytes(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_a_text() {
        for (value, shown) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!([]), "-"),
            (json!(12), "12"),
            (json!(true), "yes"),
            (json!(["publisher", "promoter"]), "publisher, promoter"),
            (json!({"build": "4711", "owner": "kim"}), "build=4711, owner=kim"),
            (json!({"percent": [1]}), r#"{"percent":[1]}"#),
        ] {
            assert_eq!(text(&value), shown);
        }
        assert_eq!(first_line(&json!("January\npatches")), "January …");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(&json!("2026-01-05T09:30:00.123456Z")), "2026-01-05 09:30:00Z");
        assert_eq!(time(&json!("2026-01-05T09:30:00+01:00")), "2026-01-05 09:30:00+01:00");
        assert_eq!(time(&json!("2026-01-05")), "2026-01-05");
        assert_eq!(time(&json!(null)), "-");
    }

    #[test]
    fn numbers_of_bytes_have_a_unit() {
        assert_eq!(bytes(&json!(5_368_709_120_u64)), "5.00 GiB");
        assert_eq!(bytes(&json!(null)), "-");
    }
}
