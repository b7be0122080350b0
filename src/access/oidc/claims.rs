//! The claims of an outside token: any JSON in which no name occurs twice.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The claims of a token.
#[derive(Debug)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Returns a claim that is a single text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns the texts of a claim. Of a list, these are its members. Of a text, they are its words if the claim is
    /// `scope` or `scp` (RFC 8693, section 4.2). Otherwise it is the text itself, because some issuers send a single
    /// group in this form, and its name may contain spaces.
    ///
    /// `path` is the name of the claim, or names with dots between them that lead into objects. A name that itself
    /// contains dots (a URL) is looked for first.
    pub fn values(&self, path: &str) -> Vec<String> {
        let found = self.0.get(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            rest.split('.').try_fold(self.0.get(first)?, |value, name| value.get(name))
        });
        match found {
            Some(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(Value::String(text)) if is_list_of_words(path) => {
                text.split(' ').map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }
}

/// Reports whether the claim is a list of words. In any other claim, a word of a group's name could pass for another
/// group.
fn is_list_of_words(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("scope" | "scp"))
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unambiguous::deserialize(deserializer)?.0 {
            Value::Object(claims) => Ok(Self(claims)),
            _ => Err(D::Error::custom("claims must be an object")),
        }
    }
}

/// JSON in which no object contains a name twice: another reader of the token might take the other value.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = entries.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn roles_are_found_where_issuers_put_them() {
        for (text, path) in [
            (r#"{"roles":["a","b"]}"#, "roles"),
            (r#"{"realm_access":{"roles":["a","b",7]}}"#, "realm_access.roles"),
            (r#"{"https://x.example/roles":["a","b"]}"#, "https://x.example/roles"),
            (r#"{"scope":"a b"}"#, "scope"),
        ] {
            assert_eq!(claims(text).values(path), ["a", "b"], "{text}");
        }
        for (text, path) in [
            (r#"{"groups":"Domain Users"}"#, "groups"),
            (r#"{"groups":["Domain Users"]}"#, "groups"),
        ] {
            assert_eq!(claims(text).values(path), ["Domain Users"], "{text}");
        }
        assert!(claims(r#"{"roles":{"a":true}}"#).values("roles").is_empty());
        assert!(claims(r#"{"roles":true}"#).values("a.b").is_empty());
    }

    #[test]
    fn a_claim_that_stands_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"x":{"roles":[],"roles":["admin"]}}"#,
            r#"{"x":[{"y":1,"y":2}]}"#,
            r#"["sub"]"#,
        ] {
            assert!(serde_json::from_str::<Claims>(text).is_err(), "{text}");
        }
    }
}
