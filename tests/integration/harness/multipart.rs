//! Takes a `multipart/byteranges` body apart, as strictly as a BITS client does.

use super::Answer;

/// One part: its bytes, and what its header says of them.
#[derive(Debug)]
pub struct Part {
    pub first: u64,
    pub last: u64,
    pub total: u64,
    pub content_type: String,
    pub bytes: Vec<u8>,
    /// Bytes of header beyond `Content-Type` and `Content-Range`; BITS takes 180.
    pub other_header_bytes: usize,
}

/// The parts in the order in which they came.
#[track_caller]
pub fn parts(answer: &Answer) -> Vec<Part> {
    let content_type = answer.required_header("content-type");
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{content_type} is no multipart/byteranges"))
        .trim_matches('"');
    let opening = format!("--{boundary}");
    let mut rest: &[u8] = &answer.body;
    // At most two line ends may stand before the first boundary: the one that ends the response's
    // header is gone already, so one is left.
    rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    let mut parts = Vec::new();
    loop {
        rest = rest.strip_prefix(opening.as_bytes()).expect("a boundary");
        if let Some(end) = rest.strip_prefix(b"--") {
            assert!(end.is_empty() || end == b"\r\n", "something follows the last boundary");
            return parts;
        }
        rest = rest.strip_prefix(b"\r\n").expect("a line end after the boundary");
        let (part, after) = read_part(rest);
        parts.push(part);
        rest = after.strip_prefix(b"\r\n").expect("a line end after the part");
    }
}

fn read_part(rest: &[u8]) -> (Part, &[u8]) {
    let head_end =
        rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a part's header ends");
    let head = std::str::from_utf8(&rest[..head_end]).expect("a part's header is text");
    let rest = &rest[head_end + 4..];
    let (mut range, mut content_type, mut other_header_bytes) = (None, None, 0);
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').expect("a header line");
        match name.to_ascii_lowercase().as_str() {
            "content-range" => range = Some(read_content_range(value.trim())),
            "content-type" => content_type = Some(value.trim().to_owned()),
            _ => other_header_bytes += line.len() + 2,
        }
    }
    let (first, last, total) = range.expect("a part has a Content-Range");
    let length = usize::try_from(last - first + 1).expect("fits into memory");
    let part = Part {
        first,
        last,
        total,
        content_type: content_type.expect("a part has a Content-Type"),
        bytes: rest[..length].to_vec(),
        other_header_bytes,
    };
    (part, &rest[length..])
}

/// First byte, last byte and total of `bytes 0-9/100`.
pub fn read_content_range(value: &str) -> (u64, u64, u64) {
    let numbers: Vec<u64> = value
        .strip_prefix("bytes ")
        .unwrap_or_else(|| panic!("{value} is no Content-Range"))
        .split(['-', '/'])
        .map(|number| number.parse().unwrap_or_else(|_| panic!("{value} is no Content-Range")))
        .collect();
    let [first, last, total] = numbers[..] else { panic!("{value} is no Content-Range") };
    (first, last, total)
}
