//! References by name: wherever a named schema occurs, it is referred to by its name.
//!
//! The derive writes out the items of a `Page<T>` in each page, from which generators make a second class beside the
//! named one.

use utoipa::openapi::{Ref, RefOr, Schema};

use super::parts::{self, Schemas};

pub(super) fn use_references(schemas: &mut Schemas) {
    let is_object = |schema: &RefOr<Schema>| matches!(schema, RefOr::T(Schema::Object(object)) if !object.properties.is_empty());
    let mut named = schemas.clone();
    named.retain(|_, schema| is_object(schema));
    for schema in schemas.values_mut() {
        if let RefOr::T(schema) = schema {
            refer(schema, &named);
        }
    }
}

fn refer(schema: &mut Schema, named: &Schemas) {
    for part in parts::of(schema) {
        if let Some((name, _)) = named.iter().find(|(_, schema)| *schema == part) {
            *part = RefOr::Ref(Ref::from_schema_name(name));
        } else if let RefOr::T(part) = part {
            refer(part, named);
        }
    }
}
