//! Parts that `#[serde(flatten)]` puts into a body: with `#[schema(inline)]` their fields are among the body's own in
//! the document as well, as they are in JSON.
//!
//! The derive writes "all of these" instead, from which generators make additional classes with unknown names.

use utoipa::openapi::schema::{AllOf, Object};
use utoipa::openapi::{RefOr, Schema};

use super::parts;

/// Makes one object of each body and its flattened parts.
pub(super) fn write_out(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    if let Schema::AllOf(all_of) = schema
        && has_only_objects(all_of)
    {
        *schema = Schema::Object(one_object(std::mem::take(all_of)));
    }
    parts::of(schema).into_iter().for_each(write_out);
}

/// Reports whether all parts are plain objects. A part with a name of its own stays separate.
fn has_only_objects(all_of: &AllOf) -> bool {
    all_of.items.iter().all(|part| match part {
        RefOr::T(Schema::Object(_)) => true,
        RefOr::T(Schema::AllOf(part)) => has_only_objects(part),
        _ => false,
    })
}

/// Merges the parts into one object. The derive puts a body's own fields last; here they come first.
fn one_object(all_of: AllOf) -> Object {
    let mut whole = Object::new();
    whole.description = all_of.description;
    whole.example = all_of.example;
    for part in all_of.items.into_iter().rev() {
        let part = match part {
            RefOr::T(Schema::Object(part)) => part,
            RefOr::T(Schema::AllOf(part)) => one_object(part),
            RefOr::T(_) | RefOr::Ref(_) => continue,
        };
        whole.properties.extend(part.properties);
        whole.required.extend(part.required);
    }
    whole
}
