//! Tests of what the parser gets to read of what clients send.

use super::*;

/// Returns what the parser reads if everything arrives at once. Checks that it is the same for pieces of any size.
fn read(sent: &str) -> String {
    let at_once = read_in_pieces(sent, sent.len());
    for size in 1..sent.len().min(40) {
        assert_eq!(read_in_pieces(sent, size), at_once, "in pieces of {size}");
    }
    let head_by_head = sent.split_inclusive("\r\n\r\n").map(str::as_bytes);
    assert_eq!(read_pieces(head_by_head), at_once, "each head by itself");
    at_once
}

fn read_in_pieces(sent: &str, size: usize) -> String {
    read_pieces(sent.as_bytes().chunks(size))
}

fn read_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let (mut heads, mut output) = (RequestHeads::default(), Vec::new());
    for piece in pieces {
        if heads.passes(piece) {
            output.extend_from_slice(piece);
        } else {
            heads.take(piece, &mut output);
        }
    }
    String::from_utf8(output).unwrap()
}

#[test]
fn plain_requests_and_their_bodies_stay_as_they_are() {
    for sent in [
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 29\r\n\r\nUpgrade: h2c\r\nExpect: 100\r\n\r\n.GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ne;x=y\r\nUpgrade: h2c\r\n\r\n1\r\nU\r\n0\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(read(sent), sent);
    }
}

#[test]
fn upgrade_is_ignored_with_and_without_a_body() {
    assert_eq!(
        read(
            "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n"
        ),
        "GET / HTTP/1.1\r\nconnection: HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: AAEAAEAA\r\n\r\n"
    );
    assert_eq!(
        read(
            "POST / HTTP/1.1\r\nUPGRADE: websocket\r\nconnection: upgrade\r\nContent-Length: 2\r\n\r\nUpGET / HTTP/1.1\r\n\r\n"
        ),
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nUpGET / HTTP/1.1\r\n\r\n"
    );
}

#[test]
fn a_post_of_http_1_0_without_a_length_has_an_empty_body() {
    assert_eq!(
        read("POST / HTTP/1.0\r\nHost: a\r\n\r\n"),
        "POST / HTTP/1.0\r\nHost: a\r\ncontent-length: 0\r\n\r\n"
    );
    let bits = "BITS_POST / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(read(bits), bits);
}

#[test]
fn an_expectation_is_told_here_and_not_to_the_parser() {
    let sent = b"PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let (mut heads, mut output) = (RequestHeads::default(), Vec::new());
    heads.take(sent, &mut output);
    assert_eq!(output, b"PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
    assert!(heads.take_expectation());
    assert!(!heads.take_expectation());
    // Other expectations, and those of HTTP/1.0, are left to the parser.
    let other = "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(read(other), other);
}

#[test]
fn what_comes_behind_the_last_request_is_nobodys() {
    let last = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(read(&format!("{last}GET /2 HTTP/1.1\r\n\r\n")), last);
    let with_body = "PUT / HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(read(&format!("{with_body}GET /2 HTTP/1.1\r\n\r\n")), with_body);
    let chunked = "PUT / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    assert_eq!(read(&format!("{chunked}GET /2 HTTP/1.1\r\n\r\n")), chunked);
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(read(&format!("{old}{old}")), old);
}

#[test]
fn what_is_irregular_goes_to_the_parser_as_it_is() {
    for sent in [
        "GET / HTTP/1.1\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: x\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/2.0\r\nUpgrade: h2c\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nUpgrade: h2c\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: +1\r\nUpgrade: h2c\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nUpgrade: h2c\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
    ] {
        assert_eq!(read(sent), sent);
    }
}

#[test]
fn the_request_line_is_known_as_far_as_it_came() {
    let mut heads = RequestHeads::default();
    heads.take(b"GET /a?b HTTP/9\r\n", &mut Vec::new());
    assert_eq!(heads.request_line(), ("GET".to_owned(), "/a?b".to_owned()));
}

#[test]
fn only_a_head_that_the_application_has_not_seen_may_be_refused() {
    let mut heads = RequestHeads::default();
    assert!(heads.may_be_refused(0), "none came: it may be too slow");
    heads.take(b"GET / HTTP/1.1\r\nHost: a\r\n", &mut Vec::new());
    assert!(heads.may_be_refused(0), "not whole");
    heads.take(b"\r\n", &mut Vec::new());
    assert!(heads.may_be_refused(0), "whole, and not seen");
    assert!(!heads.may_be_refused(1), "what is written now is its answer");
}
