//! The documentation: the OpenAPI document, the page to browse it, and the list of problems. All of it is part of the
//! binary.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::page;

/// Registers the OpenAPI document and the page to browse it, both open to everyone. `public_path` is the path below
/// which browsers reach them.
pub fn pages(config: &mut web::ServiceConfig, public_path: &str) {
    let page = SwaggerUi::new("/docs/{_:.*}")
        .config(Config::new([format!("{public_path}/api/openapi.json")]).try_it_out_enabled(true));
    config
        .service(served_document)
        .route("/docs/problems", web::get().to(page::page))
        .service(page)
        .route("/docs", web::get().to(to_page))
        .route("/", web::get().to(to_page));
}

#[get("/api/openapi.json")]
async fn served_document(text: web::Data<DocumentText>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .body(text.0.clone())
}

async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// The text of the document that is served.
pub struct DocumentText(pub web::Bytes);
