//! One HTTP request and its answer, read whole by a relay that wants to change one of them.
//!
//! Only what the clients of object stores send: bodies with a length, no `Expect`. Each exchange has a connection of its own.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A message: its head with the empty line that ends it, and its body.
#[derive(Clone)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// Reads a request whose length its head names.
    pub async fn read_request(from: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end_of_head = loop {
            if let Some(end) = end_of_head(&bytes) {
                break end;
            }
            if from.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let mut message = Self::split(bytes, end_of_head);
        let length = message.header("content-length").and_then(|length| length.parse().ok());
        while message.body.len() < length.unwrap_or(0) {
            if from.read_buf(&mut message.body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(message)
    }

    /// Sends a request to the store and reads the answer until the store hangs up.
    pub async fn answer_of(self, store: &str) -> io::Result<Self> {
        let mut store = TcpStream::connect(store).await?;
        store.write_all(self.saying_goodbye().as_bytes()).await?;
        store.write_all(&self.body).await?;
        let mut bytes = Vec::new();
        store.read_to_end(&mut bytes).await?;
        let end = end_of_head(&bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self::split(bytes, end))
    }

    pub async fn send(&self, to: &mut TcpStream) -> io::Result<()> {
        to.write_all(self.saying_goodbye().as_bytes()).await?;
        to.write_all(&self.body).await
    }

    /// The method and the target of a request.
    pub fn question(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap_or_default()
    }

    /// True for a request that reads an object, or the head of one.
    pub fn reads_an_object(&self) -> bool {
        let question = self.question();
        (question.starts_with("GET ") || question.starts_with("HEAD ")) && !question.contains('?')
    }

    pub fn lists(&self) -> bool {
        self.question().starts_with("GET ") && self.question().contains("list-type=2")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// One byte less than there is, and a length that says so.
    pub fn shorten(&mut self) {
        let Some(length) = self.header("content-length").and_then(|text| text.parse().ok()) else {
            return;
        };
        self.replace_header("content-length", &u64::saturating_sub(length, 1).to_string());
        self.body.pop();
    }

    /// Writes each tag of a listing from its end, in the same length.
    pub fn turn_tags_round(&mut self) {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let turned = text.split_inclusive("</ETag>").map(|piece| {
            let Some(start) = piece.find("<ETag>&quot;") else { return piece.to_owned() };
            let (before, tag) = piece.split_at(start + "<ETag>&quot;".len());
            let (tag, after) = tag.split_at(tag.find("&quot;").expect("the tag's end"));
            format!("{before}{}{after}", tag.chars().rev().collect::<String>())
        });
        self.body = turned.collect::<String>().into_bytes();
    }

    /// Gives a header that is there another value.
    pub fn replace_header(&mut self, name: &str, value: &str) {
        let line = |line: &str| match line.split_once(':') {
            Some((field, _)) if field.eq_ignore_ascii_case(name) => format!("{field}: {value}\r\n"),
            _ => format!("{line}\r\n"),
        };
        self.head = self.head.trim_end().lines().map(line).collect::<String>() + "\r\n";
    }

    pub fn flip_a_bit(&mut self) {
        let middle = self.body.len() / 2;
        if let Some(byte) = self.body.get_mut(middle) {
            *byte ^= 0x10;
        }
    }

    fn split(mut bytes: Vec<u8>, end_of_head: usize) -> Self {
        let body = bytes.split_off(end_of_head);
        Self { head: String::from_utf8_lossy(&bytes).into_owned(), body }
    }

    /// The head of a message after which the connection is closed.
    fn saying_goodbye(&self) -> String {
        let (first, rest) = self.head.split_once("\r\n").expect("a head has lines");
        let is_other = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
        let rest: String = rest.split_inclusive("\r\n").filter(is_other).collect();
        format!("{first}\r\nConnection: close\r\n{rest}")
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|start| start + 4)
}
