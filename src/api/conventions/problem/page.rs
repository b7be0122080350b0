//! `/docs/problems`: the page that the `type` of problems links to.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;

use super::code::{Refusal, TABLE};

/// Serves the table of refusals, with an anchor for each code.
pub async fn page() -> HttpResponse {
    let mut rows = String::new();
    for Refusal { code, status, meaning, .. } in TABLE {
        let status = status.as_u16();
        let _infallible = writeln!(
            rows,
            "<tr id=\"{code}\"><td><code>{code}</code></td><td>{status}</td><td>{meaning}</td></tr>"
        );
    }
    HttpResponse::Ok().content_type(ContentType::html()).body(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems of imagedepot</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         td,th{{text-align:left;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #ddd;vertical-align:top}}\
         tr:target{{background:#fff3c4}}</style>\n\
         <h1>Problems</h1><p>Every refusal is a problem document (RFC 9457). The meaning of its <code>code</code> \
         never changes; its <code>detail</code> says what to do about this request; its <code>request_id</code> \
         identifies the request in the access log and in the server's log.</p>\n\
         <table><tr><th>code</th><th>status</th><th>meaning</th></tr>\n{rows}</table></html>\n"
    ))
}
