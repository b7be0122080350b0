//! The requirements of BITS for downloads, one by one: D1 to D8 sum up Microsoft's "HTTP Requirements for BITS
//! Downloads", "File Transfer Consistency" and "MC-BUP" 3.5.5. D7 (the same total in all parts) is checked wherever
//! parts are read.

use reqwest::{Response, Version};

use super::{CONTENT, SEALED, SOURCES, etag, field, start};
use crate::model::Digest;

/// Splits a `multipart/byteranges` body into its parts: the header and the bytes of each.
fn parts(media_type: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut rest = body;
    let delimiter = format!("\r\n--{boundary}\r\n");
    let mut parts = Vec::new();
    loop {
        if rest == format!("\r\n--{boundary}--\r\n").as_bytes() {
            return parts;
        }
        rest = rest.strip_prefix(delimiter.as_bytes()).expect("a boundary right here");
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let (first, last) = content_range(&head);
        let content = &rest[end + 4..end + 4 + (last - first + 1)];
        rest = &rest[end + 4 + content.len()..];
        parts.push((head, content.to_vec()));
    }
}

fn content_range(head: &str) -> (usize, usize) {
    let (_, range) = head.split_once("Content-Range: bytes ").unwrap();
    let (range, total) = range.split_once('/').unwrap();
    assert_eq!(total.parse(), Ok(CONTENT.len()), "D7: the same total in every part");
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

#[actix_web::test]
async fn d1_answers_are_http_1_1_and_the_connection_stays() {
    let response = start().await.get("local", &[]).await;
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(field(&response, "connection"), "");
}

#[actix_web::test]
async fn d2_head_gives_the_size_and_get_honours_a_range_with_both_lengths() {
    let client = start().await;
    for source in SOURCES {
        let response = client.head(source, &[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(field(&response, "content-length"), CONTENT.len().to_string());

        for (asked, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=511990-1024010", 511_990, 1_024_010),
            ("bytes=1300000-", 1_300_000, 1_300_006),
            ("bytes=-7", 1_300_000, 1_300_006),
        ] {
            let response = client.get(source, &[("range", asked)]).await;
            assert_eq!(response.status(), 206, "{source} {asked}");
            assert_eq!(field(&response, "content-range"), format!("bytes {first}-{last}/1300007"));
            assert_eq!(field(&response, "content-length"), (last - first + 1).to_string());
            assert_eq!(field(&response, "content-type"), "application/octet-stream");
            assert!(response.bytes().await.unwrap() == CONTENT[first..=last], "{source} {asked}");
        }
    }
}

#[actix_web::test]
async fn d3_nothing_is_chunked_or_coded_whatever_the_client_would_take() {
    let client = start().await;
    for source in SOURCES {
        for range in ["", "bytes=5-9", "bytes=5-9,1-2"] {
            let response = client
                .get(source, &[("accept-encoding", "gzip, br, zstd"), ("range", range)])
                .await;
            assert!(!response.headers().contains_key("transfer-encoding"), "{source} {range}");
            assert!(!response.headers().contains_key("content-encoding"), "{source} {range}");
            assert!(response.headers().contains_key("content-length"), "{source} {range}");
        }
    }
}

#[actix_web::test]
async fn d4_a_plain_get_sends_the_whole_file() {
    let client = start().await;
    for source in SOURCES {
        let response = client.get(source, &[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(field(&response, "content-length"), CONTENT.len().to_string());
        assert_eq!(field(&response, "accept-ranges"), "bytes");
        assert!(response.bytes().await.unwrap() == *CONTENT, "{source}");
    }
}

#[actix_web::test]
async fn d5_last_modified_is_the_time_of_the_content_and_head_equals_get() {
    let client = start().await;
    for source in SOURCES {
        let (get, head) = (client.get(source, &[]).await, client.head(source, &[]).await);
        assert_eq!(field(&get, "last-modified"), SEALED);
        let without_date = |response: &Response| {
            let mut headers = response.headers().clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&get), without_date(&head));
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[actix_web::test]
async fn d6_500_ranges_come_in_the_order_asked_never_merged() {
    let client = start().await;
    // Steps of 1367 visit all 500 places in shuffled order. Every fourth range overlaps the next place.
    let ranges: Vec<_> = (0..500_usize)
        .map(|index| {
            let first = (index * 1367 % 500) * 2600;
            (first, first + [1, 900, 2599, 2607][index % 4] - 1)
        })
        .collect();
    let list: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let asked = format!("bytes={}", list.join(", "));

    for source in SOURCES {
        let response = client.get(source, &[("range", &asked)]).await;
        assert_eq!(response.status(), 206);
        assert!(!response.headers().contains_key("content-range"), "only parts have one");
        let length: usize = field(&response, "content-length").parse().unwrap();
        let media_type = field(&response, "content-type").to_owned();
        let body = response.bytes().await.unwrap();
        assert_eq!(body.len(), length);
        assert!(
            body.starts_with(b"\r\n--"),
            "one empty line before the first boundary: BITS takes two"
        );

        let parts = parts(&media_type, &body);
        assert_eq!(parts.len(), 500);
        for ((head, content), (first, last)) in parts.iter().zip(&ranges) {
            assert_eq!(
                *head,
                format!(
                    "Content-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/1300007"
                )
            );
            assert!(head.len() <= 180);
            assert!(
                *content == CONTENT[*first..=(*last).min(CONTENT.len() - 1)],
                "{source} {first}-{last}"
            );
        }
    }
}

#[actix_web::test]
async fn d6_long_and_short_ranges_may_mix() {
    let client = start().await;
    for source in SOURCES {
        let response =
            client.get(source, &[("range", "bytes=900000-900001,0-1100000,3-3,-600000")]).await;
        let media_type = field(&response, "content-type").to_owned();
        let parts = parts(&media_type, &response.bytes().await.unwrap());
        let contents: Vec<_> = parts.iter().map(|(_, content)| content.as_slice()).collect();
        let expected = [
            &CONTENT[900_000..=900_001],
            &CONTENT[..=1_100_000],
            &CONTENT[3..=3],
            &CONTENT[700_007..],
        ];
        assert!(contents == expected, "{source}");
    }
}

#[actix_web::test]
async fn d6_request_headers_of_nearly_64_kib_are_taken() {
    let list: Vec<_> = (100_000..104_500).map(|first| format!("{first}-{first}")).collect();
    let asked = format!("bytes={}", list.join(","));
    assert!(asked.len() > 60_000);
    let response = start().await.get("local", &[("range", &asked)]).await;
    let media_type = field(&response, "content-type").to_owned();
    assert_eq!(parts(&media_type, &response.bytes().await.unwrap()).len(), 4500);
}

#[actix_web::test]
async fn d8_validators_are_the_same_wherever_the_bytes_lie() {
    let client = start().await;
    for source in SOURCES {
        for range in ["", "bytes=5-9", "bytes=5-9,1-2"] {
            let response = client.get(source, &[("range", range)]).await;
            assert_eq!(field(&response, "etag"), etag());
            assert_eq!(field(&response, "last-modified"), SEALED);
            let repr_digest = crate::wire::digest_fields::write(Digest::of(&CONTENT));
            assert_eq!(field(&response, "repr-digest"), repr_digest);
            assert_eq!(field(&response, "cache-control"), "public, max-age=31536000, immutable");
        }
    }
}
