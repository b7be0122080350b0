//! The OpenAPI document, generated from the operations themselves.
//!
//! The generated document is committed, and the server serves the committed text: to generate it takes 30 MiB of small
//! allocations.

mod choices;
mod enum_names;
mod flattened;
mod names;
mod parameters;
mod parts;
mod references;
mod security;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::openapi::{LicenseBuilder, RefOr, Required, Schema};
use utoipa_actix_web::AppExt as _;

use self::parts::Schemas;
use super::routes::described_operations;

const DESCRIPTION: &str = "The repository from which an organisation's machines get their virtual-machine images.

An image's life: create the image, create a draft revision, PUT its files, seal it, promote it to a \
channel; it is then published in the tree `/MEDVImages/` and found by update checks.

Errors are problem documents (RFC 9457) with a stable `code`. Lists take `limit` and `cursor`. Single \
resources carry an `ETag`; changes accept `If-Match`. POSTs accept an `Idempotency-Key`: a repeat gets the same \
answer. Files travel as raw `application/octet-stream`, never as forms.";

/// The tags, in the order of an image's life.
const TAGS: [(&str, &str); 14] = [
    ("images", "Named things that have revisions"),
    ("revisions", "Immutable versions of an image: drafted, sealed, revoked, deleted"),
    ("files", "The bytes of revisions: upload and download"),
    ("uploads", "Files that arrive in pieces: tus 1.0 and the IETF draft"),
    ("channels", "The rings that revisions are promoted to, each with a folder of the tree"),
    ("promotion", "The assignment of revisions to channels: promotion, rollback and withdrawal"),
    ("updates", "Update checks of client machines"),
    ("clients", "The client machines on record: what they have, and when they asked last"),
    ("mirrors", "Copies of channels at other sites, and how far each of them is"),
    ("publication", "The intended and the actual state of the tree"),
    ("webhooks", "Receivers that events are sent to, and what was sent"),
    ("maintenance", "Garbage collection, scrub and the audit"),
    ("access", "Users, tokens, certificate mappings, and the caller's identity"),
    ("health", "Monitoring of the server"),
];

/// Generates the document from the operations.
pub fn document() -> OpenApi {
    let (_, mut collected) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(base())
        .configure(described_operations)
        .split_for_parts();
    let items = collected.paths.paths.values_mut();
    for operation in
        items.flat_map(|item| [&mut item.post, &mut item.put, &mut item.patch]).flatten()
    {
        unwrap_optional_body(operation);
    }
    parameters::are_never_null(&mut collected.paths);
    names::limit_parameters(&mut collected.paths);
    if let Some(components) = &mut collected.components {
        finish(&mut components.schemas);
    }
    collected
}

/// Completes the schemas that the derives write, for the sake of code generators. Each step relies on the ones before
/// it.
fn finish(schemas: &mut Schemas) {
    schemas.values_mut().for_each(flattened::write_out);
    choices::merge_choices(schemas);
    references::use_references(schemas);
    enum_names::disambiguate(schemas);
    schemas.values_mut().for_each(names::limit);
}

/// Unwraps an optional body. The derive describes it as "this or null", which no caller means and code generators
/// stumble over. It becomes "this", not required.
fn unwrap_optional_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(one_of))) = &content.schema else { continue };
        if let Some(named) = one_of.items.iter().find(|item| matches!(item, RefOr::Ref(_))) {
            content.schema = Some(named.clone());
            body.required = Some(Required::False);
        }
    }
}

/// The document as it was generated when this binary was built, with a line end.
pub const COMMITTED: &str = include_str!("../../openapi/imagedepot.json");

/// The line of the document before which the servers belong.
const AFTER_SERVERS: &str = "\n  \"paths\": {";

/// Generates the text of the document that is to be committed.
pub fn document_text() -> String {
    document().to_pretty_json().unwrap_or_default() + "\n"
}

/// Returns the text to serve: the committed document, with the address at which callers reach this server.
pub fn served_text(public_url: Option<&str>) -> Bytes {
    let Some(url) = public_url else { return Bytes::from_static(COMMITTED.as_bytes()) };
    let servers = format!("\n  \"servers\": {},{AFTER_SERVERS}", json!([{"url": url}]));
    COMMITTED.replacen(AFTER_SERVERS, &servers, 1).into()
}

fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("imagedepot")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ))
        .build();
    let tag = |(name, description): &(&str, &str)| {
        TagBuilder::new().name(*name).description(Some(*description)).build()
    };
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(TAGS.iter().map(tag)))
        .components(Some(security::schemes()))
        .security(Some(security::any()))
        .build()
}
