//! A real HTTP server on a free loopback port, whose answers each test defines itself.
//!
//! It does what the product's own server does not do on demand: break a connection in the middle, send a wrong digest,
//! be busy twice.

use std::time::Duration;

use actix_web::web::{Bytes, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer, http};

use super::connection::Connection;
use super::credentials::ServerArgs;
use super::retry::Patience;

/// Serves until the test's runtime ends. Returns a connection to the server, made for quick tests.
pub async fn serve(routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> Connection {
    let server = HttpServer::new(move || App::new().configure(routes.clone()))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    connect(&format!("http://{address}"))
}

pub fn connect(server: &str) -> Connection {
    let args = ServerArgs {
        server: Some(server.to_owned()),
        user: Some("alice".to_owned()),
        password: Some("hunter2".into()),
        ..ServerArgs::default()
    };
    let mut connection = Connection::open(&args).unwrap();
    let quick = Patience {
        attempts: 4,
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };
    connection.calls = quick;
    connection.transfers = quick;
    connection.stall = Duration::from_secs(5);
    connection
}

/// Announces the whole of `body`, sends its first `count` bytes and breaks the connection.
pub fn cut_after(
    mut answer: actix_web::HttpResponseBuilder,
    body: &[u8],
    count: usize,
) -> HttpResponse {
    let start = Bytes::copy_from_slice(&body[..count]);
    answer.no_chunking(body.len() as u64).streaming(async_stream::stream! {
        yield Ok(start);
        // Lets the bytes get out before the connection closes.
        tokio::time::sleep(Duration::from_millis(50)).await;
        yield Err(std::io::Error::other("the line is cut"));
    })
}

/// Returns a problem document in the server's form.
pub fn problem(status: u16, code: &str) -> HttpResponse {
    HttpResponse::build(http::StatusCode::from_u16(status).unwrap())
        .insert_header(("Content-Type", "application/problem+json"))
        .json(serde_json::json!({
            "type": "about:blank", "title": "No", "status": status, "code": code,
            "detail": format!("It is {code}."), "request_id": "0198-test",
        }))
}
