//! Choices between several objects, without a field that says which of them it is.
//!
//! Code generators cannot tell the objects apart: Java's client finds that all fit and refuses the response. A choice
//! is therefore described as one object. The fields that each of the objects requires are required, all others are
//! optional.

use utoipa::openapi::schema::Object;
use utoipa::openapi::{RefOr, Schema};

use super::parts::Schemas;

const SCHEMAS: &str = "#/components/schemas/";

pub(super) fn merge_choices(schemas: &mut Schemas) {
    let one = |(name, schema)| Some((String::clone(name), one_object(schema, schemas)?));
    let choices: Vec<_> = schemas.iter().filter_map(one).collect();
    for (name, object) in choices {
        schemas.insert(name, RefOr::T(Schema::Object(object)));
    }
}

/// Returns the choice as one object, or none if the schema is no choice or not one between objects only.
fn one_object(schema: &RefOr<Schema>, schemas: &Schemas) -> Option<Object> {
    let RefOr::T(Schema::OneOf(choice)) = schema else { return None };
    let variants = choice.items.iter().map(|item| object(item, schemas));
    let variants = variants.collect::<Option<Vec<_>>>()?;
    let mut whole = Object::new();
    whole.description.clone_from(&choice.description);
    for variant in variants.iter().rev() {
        whole.properties.extend(variant.properties.clone());
    }
    let in_all = |field: &&String| variants.iter().all(|variant| variant.required.contains(field));
    whole.required = variants.first()?.required.iter().filter(in_all).cloned().collect();
    Some(whole)
}

fn object<'a>(item: &'a RefOr<Schema>, schemas: &'a Schemas) -> Option<&'a Object> {
    match item {
        RefOr::Ref(named) => {
            object(schemas.get(named.ref_location.strip_prefix(SCHEMAS)?)?, schemas)
        }
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => Some(object),
        RefOr::T(_) => None,
    }
}
