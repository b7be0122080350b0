//! The rules of RFC 9110 beyond the needs of BITS, and the behaviour when bytes are missing.

use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;

use super::super::respond;
use super::{CONTENT, SEALED, etag, field, served, start};
use crate::storage::blobs::BlobReader;

#[actix_web::test]
async fn a_range_outside_the_file_answers_416_with_its_size() {
    let client = start().await;
    for asked in ["bytes=1300007-", "bytes=-0", "bytes=1300007-1300008,9999999-"] {
        let response = client.get("local", &[("range", asked)]).await;
        assert_eq!(response.status(), 416, "{asked}");
        assert_eq!(field(&response, "content-range"), "bytes */1300007");
        assert_eq!(field(&response, "content-type"), "application/problem+json");
        assert!(response.text().await.unwrap().contains("range_not_satisfiable"));
    }
    let response = client.get("local", &[("range", "bytes=9999999-,7-9")]).await;
    assert_eq!(field(&response, "content-range"), "bytes 7-9/1300007");
}

#[actix_web::test]
async fn ranges_that_are_malformed_doubled_or_greedy_get_the_whole_file() {
    let client = start().await;
    for asked in ["bytes=9-5", "bytes=x", "pages=1-2", "bytes=0-,0-,0-"] {
        let response = client.get("local", &[("range", asked)]).await;
        assert_eq!(response.status(), 200, "{asked}");
        assert_eq!(field(&response, "content-length"), CONTENT.len().to_string());
    }
    let doubled = client.get("local", &[("range", "bytes=0-1"), ("range", "bytes=4-5")]).await;
    assert_eq!(doubled.status(), 200);
}

#[actix_web::test]
async fn head_ignores_ranges() {
    let client = start().await;
    for asked in ["bytes=0-4", "bytes=0-4,6-7", "bytes=9999999-"] {
        let response = client.head("local", &[("range", asked)]).await;
        assert_eq!(response.status(), 200, "{asked}");
        assert_eq!(field(&response, "content-length"), CONTENT.len().to_string());
        assert_eq!(field(&response, "content-range"), "");
    }
}

#[actix_web::test]
async fn if_range_resumes_the_same_file_and_restarts_another() {
    let client = start().await;
    let etag = etag();
    for (known, status) in [
        (etag.as_str(), 206),
        ("\"sha256-0000\"", 200),
        (SEALED, 206),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
        ("nonsense", 200),
    ] {
        let response = client.get("local", &[("range", "bytes=5-9"), ("if-range", known)]).await;
        assert_eq!(response.status(), status, "{known}");
    }
    let stale = client.get("local", &[("range", "bytes=9999999-"), ("if-range", "\"x\"")]).await;
    assert_eq!(stale.status(), 200, "an ignored range cannot be unsatisfiable");
}

#[actix_web::test]
async fn a_client_that_has_the_file_gets_304_without_a_body_or_a_length() {
    let client = start().await;
    let etag = etag();
    for (name, value) in [("if-none-match", etag.as_str()), ("if-modified-since", SEALED)] {
        for response in [
            client.get("local", &[(name, value)]).await,
            client.head("local", &[(name, value)]).await,
        ] {
            assert_eq!(response.status(), 304, "{name}");
            assert_eq!(field(&response, "etag"), etag);
            assert_eq!(field(&response, "content-length"), "");
        }
    }
}

#[actix_web::test]
async fn a_client_that_wants_another_file_gets_412() {
    let client = start().await;
    for fields in
        [("if-match", "\"other\""), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")]
    {
        let response = client.get("local", &[fields, ("range", "bytes=0-1")]).await;
        assert_eq!(response.status(), 412);
        assert_eq!(field(&response, "content-type"), "application/problem+json");
    }
    assert_eq!(client.get("local", &[("if-match", &etag())]).await.status(), 200);
}

#[actix_web::test]
async fn a_blob_shorter_than_its_record_breaks_the_transfer_instead_of_padding_it() {
    let client = start().await;
    for (source, range) in
        [("torn", ""), ("torn", "bytes=899990-900010"), ("torn-remote", "bytes=0-9")]
    {
        // If the first read fails, the head of the response may be lost as well.
        let received =
            match client.try_send(reqwest::Method::GET, source, &[("range", range)]).await {
                // If the failure was noticed in time, the response is a 503.
                Ok(response) if response.status() == 503 => continue,
                Ok(response) => response.bytes().await,
                Err(broken) => Err(broken),
            };
        assert!(received.is_err(), "{source} {range}");
    }
    let inside = client.get("torn", &[("range", "bytes=0-899999")]).await;
    assert!(inside.bytes().await.unwrap() == CONTENT[..900_000]);
}

#[actix_web::test]
async fn an_empty_file_is_served_with_a_length_of_zero() {
    let empty = || served(BlobReader::bytes(Bytes::new()));
    let request = actix_web::test::TestRequest::get().to_http_request();
    let response = respond(&request, empty()).await.unwrap();
    assert_eq!(response.status(), 200);
    let request = actix_web::test::TestRequest::get()
        .insert_header((header::RANGE, "bytes=0-"))
        .to_http_request();
    let refused = respond(&request, empty()).await.unwrap_err();
    let headers: HeaderMap = actix_web::ResponseError::error_response(&refused).headers().clone();
    assert_eq!(headers.get(header::CONTENT_RANGE).unwrap(), "bytes */0");
}
