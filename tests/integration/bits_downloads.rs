//! The rules that a BITS client needs the tree to keep, one rule per test. The numbers D1 to D8 are those of the
//! project's notes on Microsoft's documents ([MC-BUP] and "HTTP requirements for BITS downloads").
//!
//! Bytes come from the blob through one responder whatever the database, so the rules run on
//! SQLite; that the names answer on both is [`crate::life_of_an_image`]'s part.

use std::fmt::Write as _;

use crate::harness::actions::ckm;
use crate::harness::multipart::{parts, read_content_range};
use crate::harness::raw::{self, Connection, head};
use crate::harness::sample::random_below;
use crate::harness::{Answer, Database, Depot};

const FILE: &str = "win7-office_1.ckm";
const PATH: &str = "/MEDVImages/win7-office_1.ckm";
const SIZE: u64 = 300_000;

async fn depot_with_a_file() -> Depot {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    depot
}

async fn get_with(depot: &Depot, headers: &[(&str, &str)]) -> Answer {
    let mut call = depot.anonymous().get(PATH);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.await
}

/// The content's bytes of a range, both ends included.
fn content(first: u64, last: u64) -> Vec<u8> {
    let position = |number: u64| usize::try_from(number).expect("fits into memory");
    ckm(1)[position(first)..=position(last)].to_vec()
}

#[tokio::test]
async fn d1_requests_follow_each_other_on_one_connection() {
    let depot = depot_with_a_file().await;
    let mut connection = Connection::open(depot.server.port()).await;
    for range in ["bytes=0-9", "bytes=10-19", "bytes=299990-"] {
        let request = head("GET", PATH, &[("Range", range), ("Connection", "Keep-Alive")]);
        connection.write(request.as_bytes()).await;
        let answer = connection.read_answer(range).await.expect("the connection stays");
        assert_eq!((answer.status, answer.body.len()), (206, 10), "{range}");
    }
}

#[tokio::test]
async fn d2_head_says_the_size_and_get_honours_a_range() {
    let depot = depot_with_a_file().await;
    let head = raw::request(depot.server.port(), "HEAD", PATH, &[], b"").await.expecting(200);
    assert_eq!(head.required_header("content-length"), SIZE.to_string());
    assert_eq!(head.required_header("accept-ranges"), "bytes");
    let range = get_with(&depot, &[("Range", "bytes=0-9976")]).await.expecting(206);
    assert_eq!(range.required_header("content-length"), "9977");
    assert_eq!(range.required_header("content-range"), "bytes 0-9976/300000");
    assert!(range.body == content(0, 9976), "other bytes");
}

#[tokio::test]
async fn d3_bodies_are_neither_chunked_nor_coded() {
    let depot = depot_with_a_file().await;
    for encoding in ["identity", "gzip, deflate, br, zstd", "*"] {
        for range in [None, Some("bytes=5-50"), Some("bytes=5-50,60-70")] {
            let mut headers = vec![("Accept-Encoding", encoding)];
            headers.extend(range.map(|range| ("Range", range)));
            let answer = get_with(&depot, &headers).await;
            assert_eq!(answer.header("transfer-encoding"), None, "{encoding} {range:?}");
            assert_eq!(answer.header("content-encoding"), None, "{encoding} {range:?}");
            let length = answer.required_header("content-length");
            assert_eq!(length, answer.body.len().to_string(), "{encoding} {range:?}");
        }
    }
}

#[tokio::test]
async fn d4_every_form_of_a_single_range_is_answered() {
    let depot = depot_with_a_file().await;
    for (asked, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=299999-", 299_999, 299_999),
        ("bytes=-1", 299_999, 299_999),
        ("bytes=-999999999", 0, 299_999),
        ("bytes=299000-999999999", 299_000, 299_999),
        ("BYTES=7-8", 7, 8),
        ("bytes=0-299999", 0, 299_999),
        ("bytes= 3-4 ,", 3, 4),
    ] {
        let answer = get_with(&depot, &[("Range", asked)]).await.expecting(206);
        let range = read_content_range(answer.required_header("content-range"));
        assert_eq!(range, (first, last, SIZE), "{asked}");
        assert!(answer.body == content(first, last), "{asked}");
    }
}

#[tokio::test]
async fn d4_a_get_of_the_whole_file_is_a_200_with_its_length() {
    let depot = depot_with_a_file().await;
    let answer = get_with(&depot, &[]).await.expecting(200);
    assert_eq!(answer.required_header("content-length"), SIZE.to_string());
    assert_eq!(answer.header("content-range"), None);
    assert_eq!(answer.required_header("content-type"), "application/octet-stream");
    assert!(answer.body == ckm(1), "other bytes");
}

#[tokio::test]
async fn d4_a_range_past_the_end_answers_416_with_the_size() {
    let depot = depot_with_a_file().await;
    for range in ["bytes=300000-", "bytes=300000-300001,400000-", "bytes=-0"] {
        let answer = get_with(&depot, &[("Range", range)]).await.expecting(416);
        assert_eq!(answer.required_header("content-range"), "bytes */300000", "{range}");
    }
    let mixed = get_with(&depot, &[("Range", "bytes=300000-,1-2")]).await.expecting(206);
    assert!(mixed.body.windows(2).any(|two| two == content(1, 2)), "the good range is missing");
}

#[tokio::test]
async fn d4_a_malformed_range_is_ignored() {
    let depot = depot_with_a_file().await;
    for range in
        ["bytes=", "bytes=a-b", "bytes=9-3", "items=0-1", "0-1", "bytes=1-2,x", "bytes=--1"]
    {
        let answer = get_with(&depot, &[("Range", range)]).await.expecting(200);
        assert_eq!(answer.body.len(), ckm(1).len(), "{range}");
    }
}

#[tokio::test]
async fn d5_head_equals_get_without_the_body() {
    let depot = depot_with_a_file().await;
    let port = depot.server.port();
    let get = get_with(&depot, &[]).await.expecting(200);
    for headers in [&[][..], &[("Range", "bytes=0-9")]] {
        // Range has a meaning for GET alone (RFC 9110, 14.2).
        let head = raw::request(port, "HEAD", PATH, headers, b"").await.expecting(200);
        for name in [
            "content-length",
            "content-type",
            "last-modified",
            "etag",
            "accept-ranges",
            "repr-digest",
            "cache-control",
        ] {
            assert_eq!(head.required_header(name), get.required_header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn d5_last_modified_is_the_time_of_sealing_and_stays() {
    let mut depot = depot_with_a_file().await;
    let first = get_with(&depot, &[]).await;
    let last_modified = first.required_header("last-modified").to_owned();
    let time = httpdate::parse_http_date(&last_modified).expect("a date");
    let age = time.elapsed().unwrap_or_default();
    assert!(age.as_secs() < 120, "{last_modified} is not the time of sealing");
    // A second promotion, a reconciliation and a restart later it is still the same.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    depot.admin().promote("win7-office", "test", 1).await.expecting(200);
    depot.admin().post("/api/v1/publications/reconcile").await.expecting(200);
    depot.server.restart().await;
    let later = get_with(&depot, &[]).await;
    assert_eq!(later.required_header("last-modified"), last_modified);
    assert_eq!(later.required_header("etag"), first.required_header("etag"));
    let elsewhere = depot.anonymous().get_tree(&format!("test/{FILE}")).await.expecting(200);
    assert_eq!(elsewhere.required_header("last-modified"), last_modified);
}

#[tokio::test]
async fn d6_parts_come_in_the_order_asked_and_are_never_merged() {
    let depot = depot_with_a_file().await;
    let asked = "bytes=125-199,1000-1099,200-224,150-160,-5,1000-1099";
    let answer = get_with(&depot, &[("Range", asked)]).await.expecting(206);
    assert_eq!(answer.header("content-range"), None);
    let ranges: Vec<_> = parts(&answer).iter().map(|part| (part.first, part.last)).collect();
    let last = SIZE - 1;
    assert_eq!(
        ranges,
        [(125, 199), (1000, 1099), (200, 224), (150, 160), (last - 4, last), (1000, 1099)]
    );
}

#[tokio::test]
async fn d6_a_part_has_little_header_and_the_right_bytes() {
    let depot = depot_with_a_file().await;
    let answer = get_with(&depot, &[("Range", "bytes=9-90,0-1,299999-")]).await.expecting(206);
    for part in parts(&answer) {
        assert!(part.other_header_bytes <= 180, "{} bytes", part.other_header_bytes);
        assert_eq!(part.content_type, "application/octet-stream");
        assert!(part.bytes == content(part.first, part.last), "{}-{}", part.first, part.last);
    }
}

#[tokio::test]
async fn d6_five_hundred_shuffled_ranges_are_answered_in_one_request() {
    ranges_are_answered_as_asked(500).await;
}

#[tokio::test]
async fn d6_a_request_header_of_sixty_kilobytes_is_taken() {
    ranges_are_answered_as_asked(4_000).await;
}

/// Asks for `count` ranges that do not touch each other, in no order.
async fn ranges_are_answered_as_asked(count: u64) {
    let depot = depot_with_a_file().await;
    let step = SIZE / count;
    let mut asked: Vec<(u64, u64)> =
        (0..count).map(|number| (number * step, number * step + random_below(step - 1))).collect();
    for index in (1..asked.len()).rev() {
        let other = usize::try_from(random_below(index as u64 + 1)).expect("an index");
        asked.swap(index, other);
    }
    let mut header = String::from("bytes=");
    for (first, last) in &asked {
        write!(header, "{first}-{last},").expect("write to a string");
    }
    let header = header.trim_end_matches(',');
    assert!(header.len() < 63_000, "{} bytes of header", header.len());
    let answer = get_with(&depot, &[("Range", header)]).await.expecting(206);
    assert_eq!(answer.required_header("content-length"), answer.body.len().to_string());
    let parts = parts(&answer);
    let ranges: Vec<_> = parts.iter().map(|part| (part.first, part.last)).collect();
    assert_eq!(ranges, asked);
    let whole = ckm(1);
    for part in parts {
        let first = usize::try_from(part.first).expect("fits");
        assert!(part.bytes == whole[first..first + part.bytes.len()], "from {first}");
    }
}

#[tokio::test]
async fn d6_ranges_that_add_up_to_more_than_twice_the_file_are_ignored() {
    let depot = depot_with_a_file().await;
    let answer = get_with(&depot, &[("Range", "bytes=0-,0-,0-")]).await.expecting(200);
    assert_eq!(answer.body.len(), ckm(1).len());
    let twice = get_with(&depot, &[("Range", "bytes=0-,0-")]).await.expecting(206);
    assert_eq!(parts(&twice).len(), 2);
}

#[tokio::test]
async fn d7_every_part_names_the_same_known_total() {
    let depot = depot_with_a_file().await;
    let answer = get_with(&depot, &[("Range", "bytes=1-2,4-5,299000-,-1")]).await.expecting(206);
    for part in parts(&answer) {
        assert_eq!(part.total, SIZE);
    }
}

#[tokio::test]
async fn d8_new_content_has_a_new_name_and_old_names_keep_their_bytes() {
    let depot = depot_with_a_file().await;
    let admin = depot.admin();
    let before = get_with(&depot, &[]).await;
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    let after = get_with(&depot, &[]).await.expecting(200);
    for name in ["etag", "last-modified", "content-length", "repr-digest"] {
        assert_eq!(after.required_header(name), before.required_header(name), "{name}");
    }
    assert!(after.body == before.body, "the old name has new bytes");
    assert!(after.required_header("cache-control").contains("immutable"));
    let new = depot.anonymous().get_tree("win7-office_2.ckm").await.expecting(200);
    assert_ne!(new.required_header("etag"), before.required_header("etag"));
    let list = depot.anonymous().get_tree("channel.json").await.expecting(200);
    assert!(!list.required_header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn a_condition_that_fails_turns_a_range_into_the_whole_file() {
    let depot = depot_with_a_file().await;
    let whole = get_with(&depot, &[]).await;
    let etag = whole.required_header("etag").to_owned();
    let date = whole.required_header("last-modified").to_owned();
    let status = |condition: String| {
        let depot = &depot;
        async move { get_with(depot, &[("Range", "bytes=0-9"), ("If-Range", &condition)]).await.status }
    };
    assert_eq!(status(etag.clone()).await, 206);
    assert_eq!(status(format!("W/{etag}")).await, 200, "If-Range compares strongly");
    assert_eq!(status("\"other\"".to_owned()).await, 200);
    assert_eq!(status(date).await, 206);
    assert_eq!(status("Sat, 01 Jan 2000 00:00:00 GMT".to_owned()).await, 200);
}

#[tokio::test]
async fn conditions_are_weighed_in_the_order_of_rfc_9110() {
    let depot = depot_with_a_file().await;
    let whole = get_with(&depot, &[]).await;
    let etag = whole.required_header("etag").to_owned();
    let date = whole.required_header("last-modified").to_owned();
    let past = "Sat, 01 Jan 2000 00:00:00 GMT";
    assert!(etag.starts_with('"'), "{etag} is not strong");
    for (headers, status) in [
        (vec![("If-None-Match", etag.as_str())], 304),
        (vec![("If-None-Match", "\"a\", \"b\"")], 200),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-Match", etag.as_str())], 200),
        (vec![("If-Match", "\"other\"")], 412),
        (vec![("If-Modified-Since", date.as_str())], 304),
        (vec![("If-Modified-Since", past)], 200),
        (vec![("If-Unmodified-Since", date.as_str())], 200),
        (vec![("If-Unmodified-Since", past)], 412),
        // The tag is the better witness: with If-None-Match the date is not looked at.
        (vec![("If-None-Match", "\"other\""), ("If-Modified-Since", date.as_str())], 200),
        (vec![("If-Match", etag.as_str()), ("If-Unmodified-Since", past)], 200),
        (vec![("If-Modified-Since", "not a date")], 200),
    ] {
        let answer = get_with(&depot, &headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 304 {
            assert!(answer.body.is_empty(), "{headers:?}");
            assert_eq!(answer.required_header("etag"), etag, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn repr_digest_is_the_sha_256_of_the_whole_file_also_for_a_range() {
    let depot = depot_with_a_file().await;
    let expected = crate::harness::sample::digest_field(&ckm(1));
    for headers in [&[][..], &[("Range", "bytes=0-9")]] {
        let answer = get_with(&depot, headers).await;
        assert_eq!(answer.required_header("repr-digest"), expected);
    }
}
