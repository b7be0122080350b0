//! Names for the values of enumerations.
//!
//! Go's constants share one package, and its generator names them after their values alone, so a value of two
//! enumerations would be declared twice. Such values get their enumeration's name in front, in `x-enum-varnames`, which
//! generators read.
//!
//! Programs compile against the names. An enumeration that had its values for itself keeps their names when another one
//! with the same values is added: it is among the established ones.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::{RefOr, Schema};

use super::parts::Schemas;

/// The enumerations whose names stay as they are. They share no values with each other.
const ESTABLISHED: [&str; 3] = ["Reason", "RevisionState", "UploadState"];

pub(super) fn disambiguate(schemas: &mut Schemas) {
    let mut uses = BTreeMap::<String, usize>::new();
    for value in schemas.values().flat_map(values) {
        *uses.entry(value).or_default() += 1;
    }
    let is_shared = |value: &String| uses.get(value).is_some_and(|uses| *uses > 1);
    for (name, schema) in schemas {
        if ESTABLISHED.contains(&name.as_str()) {
            continue;
        }
        let values = values(schema);
        if let (true, RefOr::T(Schema::Object(object))) = (values.iter().any(is_shared), schema) {
            let names: Vec<String> = values
                .iter()
                .map(|value| {
                    if is_shared(value) {
                        format!("{}_{value}", words(name))
                    } else {
                        value.clone()
                    }
                })
                .map(|name| name.to_ascii_uppercase())
                .collect();
            let names = ExtensionsBuilder::new().add("x-enum-varnames", names).build();
            object.extensions.get_or_insert_default().merge(names);
        }
    }
}

fn values(schema: &RefOr<Schema>) -> Vec<String> {
    let RefOr::T(Schema::Object(object)) = schema else { return Vec::new() };
    let values = object.enum_values.iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Separates the words of a name: `PromotionKind` becomes `Promotion_Kind`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter);
    }
    words
}
