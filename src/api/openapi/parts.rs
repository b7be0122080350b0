//! The named schemas, and the parts of a schema, one level down.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{AdditionalProperties, ArrayItems};
use utoipa::openapi::{RefOr, Schema};

/// The named schemas, by name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

pub(super) fn of(schema: &mut Schema) -> Vec<&mut RefOr<Schema>> {
    match schema {
        Schema::Array(array) => match &mut array.items {
            ArrayItems::RefOrSchema(items) => vec![&mut **items],
            ArrayItems::False => Vec::new(),
        },
        Schema::Object(object) => {
            let others = match object.additional_properties.as_deref_mut() {
                Some(AdditionalProperties::RefOr(values)) => Some(values),
                _ => None,
            };
            object.properties.values_mut().chain(others).collect()
        }
        Schema::OneOf(one_of) => one_of.items.iter_mut().collect(),
        Schema::AllOf(all_of) => all_of.items.iter_mut().collect(),
        Schema::AnyOf(any_of) => any_of.items.iter_mut().collect(),
        _ => Vec::new(),
    }
}
