//! HTTP by hand: requests that an HTTP library corrects, refuses, or never ends too early.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Answer;

/// A connection on which bytes are written as they stand.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> Self {
        Self::try_open(port).await.expect("connect to the server")
    }

    /// For servers that are down at times.
    pub async fn try_open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Writes bytes; a server that has hung up already is no failure of the test.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reports whether the server has hung up.
    pub async fn is_over(&mut self) -> bool {
        let mut byte = [0];
        let read =
            tokio::time::timeout(Duration::from_millis(1), self.stream.read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    /// The next final response; `None` when the server hangs up instead.
    pub async fn read_answer(&mut self, question: &str) -> Option<Answer> {
        loop {
            let answer = self.read_response(question).await?;
            // 100 Continue says only that the body may come.
            if answer.status >= 200 {
                return Some(answer);
            }
        }
    }

    /// The very next response, `100 Continue` too.
    pub async fn read_first_answer(&mut self, question: &str) -> Option<Answer> {
        self.read_response(question).await
    }

    /// The next response of any kind, its body by `Content-Length`.
    async fn read_response(&mut self, question: &str) -> Option<Answer> {
        let head_end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end;
            }
            self.read_more(question).await?;
        };
        let head = String::from_utf8(self.received[..head_end].to_vec()).expect("a head of text");
        self.received.drain(..head_end + 4);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("a status line");
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let headers: HeaderMap = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header line");
                let name: HeaderName = name.parse().expect("a header's name");
                (name, HeaderValue::from_str(value.trim()).expect("a header's value"))
            })
            .collect();
        let length = headers.get("content-length").map_or(0, |value| {
            value.to_str().ok().and_then(|text| text.parse().ok()).expect("a length")
        });
        let length = if question.starts_with("HEAD ") { 0 } else { length };
        while self.received.len() < length {
            self.read_more(question).await?;
        }
        let body: Vec<u8> = self.received.drain(..length).collect();
        Some(Answer {
            status: status.expect("a status"),
            headers,
            body: body.into(),
            question: question.to_owned(),
        })
    }

    async fn read_more(&mut self, question: &str) -> Option<()> {
        let read = self.stream.read_buf(&mut self.received);
        let count = tokio::time::timeout(Duration::from_secs(30), read)
            .await
            .unwrap_or_else(|_| panic!("{question}: no answer in half a minute"));
        // A reset is as much of an end as an orderly one.
        (count.unwrap_or(0) > 0).then_some(())
    }
}

/// One request on a connection of its own. `target` goes into the request line as it stands.
pub async fn request(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut connection = Connection::open(port).await;
    connection.write(head(method, target, headers).as_bytes()).await;
    connection.write(body).await;
    let question = format!("{method} {target}");
    connection
        .read_answer(&question)
        .await
        .unwrap_or_else(|| panic!("{question}: the server hung up without an answer"))
}

/// A request's head: the request line, `Host`, the headers given, and the empty line.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    use std::fmt::Write as _;

    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").expect("write to a string");
    }
    text + "\r\n"
}

/// The value of `Authorization` for a name and password.
pub fn basic(name_and_password: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    format!("Basic {}", STANDARD.encode(name_and_password))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
