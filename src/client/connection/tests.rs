//! Tests of the connection against a server that fails in every way a connection can fail.

use std::fs;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::super::exit_code::Exit;
use super::super::test_server::{connect, problem, serve};
use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let connection = serve(move |routes| {
        let counted = counted.clone();
        routes.route(
            "/api/v1/whoami",
            web::get().to(move || {
                let call = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    match call {
                        0 => HttpResponse::ServiceUnavailable()
                            .insert_header(("Retry-After", "0"))
                            .finish(),
                        1 => HttpResponse::TooManyRequests().finish(),
                        _ => HttpResponse::Ok().json(json!({ "name": "alice" })),
                    }
                }
            }),
        );
    })
    .await;
    let answer: Value = connection.get(connection.api(&["whoami"]).unwrap()).await.unwrap();
    assert_eq!(answer["name"], "alice");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn every_repetition_of_a_post_carries_the_same_key() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let kept = keys.clone();
    let connection = serve(move |routes| {
        let kept = kept.clone();
        routes.route(
            "/api/v1/images",
            web::post().to(move |request: HttpRequest| {
                let mut keys = kept.lock().unwrap();
                keys.push(request.headers().get("Idempotency-Key").unwrap().clone());
                let first = keys.len() == 1;
                async move {
                    if first { problem(503, "busy") } else { HttpResponse::Created().finish() }
                }
            }),
        );
    })
    .await;
    let images = connection.api(&["images"]).unwrap();
    connection.post(images.clone(), Some(&json!({ "name": "a" }))).await.unwrap();
    connection.post(images, None).await.unwrap();
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2], "another job needs another key");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_not_repeated() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let connection = serve(move |routes| {
        let counted = counted.clone();
        routes.default_service(web::to(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { problem(403, "forbidden") }
        }));
    })
    .await;
    let failure =
        connection.get::<Value>(connection.api(&["images", "a"]).unwrap()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Refused);
    assert_eq!(
        failure.to_string(),
        "the server refused (403 forbidden): It is forbidden. (request 0198-test)"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_listening_is_told_as_such() {
    // Bind the port and release it: nothing else gets this port while the test runs.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let connection = connect(&format!("http://127.0.0.1:{port}"));
    let failure = connection.get::<Value>(connection.api(&["whoami"]).unwrap()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    let text = failure.to_string();
    assert!(text.contains("Connection refused") && text.contains("tried 4 times"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_at_once_and_ca_makes_it_trusted() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, issued.cert.pem()).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![issued.cert.der().clone()], key)
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\
                           Connection: close\r\n\r\n{\"name\":\"tls\"}";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });

    let mut args = ServerArgs { server: Some(address), ..ServerArgs::default() };
    args.ca = Some(ca);
    let trusting = Connection::open(&args).unwrap();
    let answer: Value = trusting.get(trusting.api(&["whoami"]).unwrap()).await.unwrap();
    assert_eq!(answer["name"], "tls");

    // Another authority stands in for the system's, which a test machine may not have.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other_ca = folder.path().join("other.pem");
    fs::write(&other_ca, other.cert.pem()).unwrap();
    args.ca = Some(other_ca);
    let suspicious = Connection::open(&args).unwrap();
    let failure = suspicious.get::<Value>(suspicious.api(&["whoami"]).unwrap()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable);
    let text = failure.to_string();
    assert!(text.contains("--ca FILE") && !text.contains("tried"), "{text}");
}

#[test]
fn names_are_escaped_and_cannot_climb() {
    let connection = connect("https://depot.example/behind/a/proxy");
    assert_eq!(
        connection.api(&["images", "a b/c"]).unwrap().as_str(),
        "https://depot.example/behind/a/proxy/api/v1/images/a%20b%2Fc"
    );
    for dots in ["", ".", ".."] {
        assert!(connection.api(&["images", dots]).is_err(), "{dots}");
    }
}

#[test]
fn credentials_go_to_the_server_and_nowhere_else() {
    let connection = connect("https://depot.example");
    let authorization = |address: &str| {
        let url = connection.resolve(address).unwrap();
        let request = connection.request(Method::GET, url).build().unwrap();
        request.headers().get("Authorization").cloned()
    };
    let ours = authorization("/MEDVImages/a_1.ckm").unwrap();
    assert_eq!(ours.as_bytes(), b"Basic YWxpY2U6aHVudGVyMg==");
    assert!(!format!("{ours:?}").contains("YWxp"), "a header that prints its secret");
    for elsewhere in ["https://bucket.example/a_1.ckm", "http://depot.example/a_1.ckm"] {
        assert_eq!(authorization(elsewhere), None, "{elsewhere}");
    }
}
