//! Optional parameters: the derive writes that they may be null, which no header, path or query can express. Generators
//! then send numbers as another type, or the word `null`.

use utoipa::openapi::path::{Operation, Parameter, PathItem, Paths};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

/// Returns every parameter with its path.
pub(super) fn of(paths: &mut Paths) -> impl Iterator<Item = (&String, &mut Parameter)> {
    paths.paths.iter_mut().flat_map(|(path, item)| {
        let parameters = operations(item).flat_map(|operation| operation.parameters.iter_mut());
        parameters.flatten().filter_map(move |parameter| match parameter {
            RefOr::T(parameter) => Some((path, parameter)),
            RefOr::Ref(_) => None,
        })
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, .. } = item;
    [get, put, post, delete, options, head, patch].into_iter().flatten()
}

pub(super) fn are_never_null(paths: &mut Paths) {
    for (_, parameter) in of(paths) {
        if let Some(RefOr::T(schema)) = &mut parameter.schema {
            forget_null(schema);
        }
    }
}

fn forget_null(schema: &mut Schema) {
    let kind = match schema {
        Schema::Object(object) => &mut object.schema_type,
        Schema::Array(array) => &mut array.schema_type,
        _ => return,
    };
    if let SchemaType::Array(types) = kind {
        types.retain(|kind| *kind != Type::Null);
        if let [only] = types.as_slice() {
            *kind = SchemaType::Type(only.clone());
        }
    }
}
