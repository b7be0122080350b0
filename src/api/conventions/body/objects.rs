//! JSON as its schema describes it, where Serde differs. Serde accepts more: an array in place of an object, with the
//! fields in order. And it accepts less: it refuses a whole number that is written with a fraction of zero, which JSON
//! Schema calls an integer (2020-12, section 6.1.1).

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Number, Value};

/// The largest number up to which every JSON reader represents all integers exactly.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// A JSON value in which an array does not count as an object.
pub(super) struct Strict(Value);

impl Strict {
    /// Returns the strict value, and whether a number in it was rewritten.
    pub(super) fn of(mut value: Value) -> (Self, bool) {
        let has_changed = make_whole(&mut value);
        (Self(value), has_changed)
    }
}

/// Rewrites whole numbers such as `1.0` as `1`, and reports whether there were any.
fn make_whole(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) else {
                return false;
            };
            *number = whole;
            true
        }
        // `any` would stop at the first one.
        Value::Array(items) => {
            items.iter_mut().filter_map(|item| make_whole(item).then_some(())).count() > 0
        }
        Value::Object(members) => {
            members.values_mut().filter_map(|item| make_whole(item).then_some(())).count() > 0
        }
        _ => false,
    }
}

fn whole(number: f64) -> Option<Number> {
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is within i64")]
    (number.fract() == 0.0 && number.abs() <= LARGEST).then(|| Number::from(number as i64))
}

impl IntoDeserializer<'_, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Self));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Self(value)));
                let mut members = MapDeserializer::new(members);
                let value = visitor.visit_map(&mut members)?;
                members.end()?;
                Ok(value)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_array() {
            return Err(Error::invalid_type(
                Unexpected::Other("an array"),
                &"an object with named fields",
            ));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        percent: u8,
    }

    fn read(value: Value) -> Result<Outer, Error> {
        Outer::deserialize(Strict::of(value).0)
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        for wrong in [
            json!(["a", null, []]),
            json!({"name": "a", "inner": [1]}),
            json!({"name": "a", "list": [{"percent": 1}, [2]]}),
        ] {
            let error = read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains("an object with named fields"), "{wrong}: {error}");
        }
        let right = json!({"name": "a", "inner": {"percent": 1.0}, "list": [{"percent": 2}]});
        let (inner, list) = (Some(Inner { percent: 1 }), vec![Inner { percent: 2 }]);
        assert_eq!(read(right).unwrap(), Outer { name: "a".to_owned(), inner, list });
    }

    #[test]
    fn only_whole_numbers_are_integers() {
        assert!(read(json!({"name": "a", "inner": {"percent": 1.5}})).is_err());
        assert_eq!(Strict::of(json!({"a": [1.0, 1e2, 1.5]})).0.0, json!({"a": [1, 100, 1.5]}));
    }
}
