//! A BITS client, written from the protocol's text ([MC-BUP] section 3.1) and not from the server.
//!
//! One request at a time on a connection that is kept. [`BitsClient::upload`] behaves as section 3.1.5 has
//! it: upon 200 and 416 alike it goes on where `BITS-Received-Content-Range` says, upon a session that is
//! not found it begins again, upon 413 it sends less at a time, and without an answer it connects again,
//! sends a Ping, and repeats itself. The packets stand alone, too, for tests that misbehave.

use std::time::Duration;

use super::raw::{self, Connection};
use super::{Answer, Depot, Person};

/// The one protocol, written as some clients have it.
pub const UPLOAD_PROTOCOL: &str = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/// The smallest block that a client sends upon 413, in bytes.
const SMALLEST_BLOCK: usize = 5 * 1024;

/// Codes of errors, as they are written.
pub const SESSION_NOT_FOUND: &str = "0x8020001F";
pub const INVALID_ARGUMENT: &str = "0x80070057";
pub const ACCESS_DENIED: &str = "0x80070005";
pub const TOO_LARGE: &str = "0x80200020";
pub const DISK_FULL: &str = "0x80070070";
pub const BUSY: &str = "0x800700AA";
pub const NO_ERROR: &str = "0x00000000";

/// A client with one job: one file to one destination.
pub struct BitsClient {
    port: u16,
    login: Option<String>,
    /// The target of every request, as it stands in the request line.
    pub target: String,
    pub session: Option<String>,
    connection: Option<Connection>,
}

/// The traffic that an upload caused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Sessions that were begun.
    pub sessions: u32,
    /// Bytes of bodies that were sent.
    pub sent: u64,
    /// Requests that stayed without an answer.
    pub unanswered: u32,
}

impl BitsClient {
    pub fn new(depot: &Depot, person: &Person, file: &str) -> Self {
        let login = raw::basic(&person.name_and_password());
        Self { login: Some(login), ..Self::anonymous(depot, file) }
    }

    pub fn anonymous(depot: &Depot, file: &str) -> Self {
        Self {
            port: depot.server.port(),
            login: None,
            target: format!("/MEDVImages/{file}"),
            session: None,
            connection: None,
        }
    }

    /// The same job at another server of the depot.
    pub fn at(mut self, port: u16) -> Self {
        self.port = port;
        self.connection = None;
        self
    }

    /// A second client that goes on with the same session, on a connection of its own.
    pub fn twin(&self) -> Self {
        Self {
            port: self.port,
            login: self.login.clone(),
            target: self.target.clone(),
            session: self.session.clone(),
            connection: None,
        }
    }

    /// Any packet; `None` when the line broke before its answer.
    pub async fn try_send(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        self.write(headers, body).await?;
        let question = format!("BITS_POST {} {headers:?}", self.target);
        let answer = self.connection.as_mut()?.read_answer(&question).await;
        let closes = answer.as_ref().is_none_or(|answer| {
            answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        });
        if closes {
            self.connection = None;
        }
        answer
    }

    /// Any packet, whose answer has to be an Ack.
    pub async fn send(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.try_send(headers, body).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer to {headers:?}"));
        must_be_ack(&answer);
        answer
    }

    /// Sends a packet and does not wait for its answer: its line breaks with [`Self::hang_up`].
    pub async fn write(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Option<()> {
        if self.connection.is_none() {
            self.connection = Some(Connection::try_open(self.port).await.ok()?);
        }
        let mut all: Vec<(&str, &str)> = vec![("User-Agent", "Microsoft BITS/7.8")];
        if let Some(login) = &self.login {
            all.push(("Authorization", login));
        }
        all.extend_from_slice(headers);
        let head = raw::head("BITS_POST", &self.target, &all);
        let connection = self.connection.as_mut()?;
        connection.write(head.as_bytes()).await;
        connection.write(body).await;
        Some(())
    }

    /// The rest of a body that was begun with [`Self::write`], and the answer.
    pub async fn write_rest(&mut self, rest: &[u8]) -> Option<Answer> {
        let connection = self.connection.as_mut()?;
        connection.write(rest).await;
        connection.read_answer("the rest of a body").await
    }

    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    pub async fn ping(&mut self) -> Answer {
        self.send(&[("BITS-Packet-Type", "Ping"), ("Content-Length", "0")], b"").await
    }

    /// Asks for a session, and keeps its name if it gets one.
    pub async fn create(&mut self) -> Answer {
        let headers = [
            ("BITS-Packet-Type", "Create-Session"),
            ("BITS-Supported-Protocols", UPLOAD_PROTOCOL),
            ("Content-Length", "0"),
        ];
        let answer = self.send(&headers, b"").await;
        self.session = answer.header("bits-session-id").map(str::to_owned);
        answer
    }

    /// The headers of a fragment that begins at `first`.
    pub fn fragment_headers(&self, first: u64, length: usize, total: u64) -> [(String, String); 4] {
        let end = first + length as u64;
        [
            ("BITS-Packet-Type", "Fragment".to_owned()),
            ("BITS-Session-Id", self.session.clone().expect("a session")),
            ("Content-Range", format!("bytes {first}-{}/{total}", end - 1)),
            ("Content-Length", length.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    pub async fn try_fragment(&mut self, first: u64, bytes: &[u8], total: u64) -> Option<Answer> {
        let headers = self.fragment_headers(first, bytes.len(), total);
        self.try_send(&borrowed(&headers), bytes).await
    }

    pub async fn fragment(&mut self, first: u64, bytes: &[u8], total: u64) -> Answer {
        let headers = self.fragment_headers(first, bytes.len(), total);
        self.send(&borrowed(&headers), bytes).await
    }

    /// A fragment of `file`: the bytes of the range, `file.len()` in all.
    pub async fn part(&mut self, file: &[u8], range: std::ops::Range<usize>) -> Answer {
        self.fragment(range.start as u64, &file[range], file.len() as u64).await
    }

    pub async fn close(&mut self) -> Answer {
        self.end("Close-Session").await
    }

    pub async fn cancel(&mut self) -> Answer {
        self.end("Cancel-Session").await
    }

    async fn end(&mut self, packet: &str) -> Answer {
        let session = self.session.clone().expect("a session");
        let headers =
            [("BITS-Packet-Type", packet), ("BITS-Session-Id", &session), ("Content-Length", "0")];
        self.send(&headers, b"").await
    }

    /// The whole file in blocks of at most `block` bytes, however often the server goes away.
    pub async fn upload(&mut self, file: &[u8], block: usize) -> Transfer {
        self.upload_rest(file, 0, block).await
    }

    /// The same from `offset` on, in the session that there is.
    pub async fn upload_rest(
        &mut self,
        file: &[u8],
        mut offset: usize,
        mut block: usize,
    ) -> Transfer {
        let mut transfer = Transfer::default();
        let total = file.len();
        loop {
            if self.session.is_none() {
                if self.try_create().await.is_none() {
                    self.wait_for_the_server(&mut transfer).await;
                    continue;
                }
                transfer.sessions += 1;
                offset = 0;
            }
            if offset == total {
                match self.try_close().await {
                    Some(answer) if not_found(&answer) => self.session = None,
                    Some(answer) if answer.status < 500 => {
                        answer.expecting(200);
                        return transfer;
                    }
                    _ => self.wait_for_the_server(&mut transfer).await,
                }
                continue;
            }
            let end = total.min(offset + block);
            let sent = self.try_fragment(offset as u64, &file[offset..end], total as u64).await;
            transfer.sent += (end - offset) as u64;
            match sent {
                Some(answer) if [200, 416].contains(&answer.status) => {
                    offset = usize::try_from(next_offset(&answer)).expect("an offset");
                    assert!(offset <= total, "{}: past the end", answer.question);
                }
                Some(answer) if answer.status == 413 => block = (block / 2).max(SMALLEST_BLOCK),
                Some(answer) if not_found(&answer) => self.session = None,
                Some(answer) if answer.status < 500 => panic!("given up: {answer:?}"),
                _ => self.wait_for_the_server(&mut transfer).await,
            }
        }
    }

    async fn try_create(&mut self) -> Option<()> {
        let headers = [
            ("BITS-Packet-Type", "Create-Session"),
            ("BITS-Supported-Protocols", UPLOAD_PROTOCOL),
            ("Content-Length", "0"),
        ];
        let answer = self.try_send(&headers, b"").await?;
        self.session = answer.header("bits-session-id").map(str::to_owned);
        self.session.is_some().then_some(())
    }

    async fn try_close(&mut self) -> Option<Answer> {
        let session = self.session.clone()?;
        let headers = [
            ("BITS-Packet-Type", "Close-Session"),
            ("BITS-Session-Id", session.as_str()),
            ("Content-Length", "0"),
        ];
        self.try_send(&headers, b"").await
    }

    /// After an interruption: a Ping until there is an answer.
    async fn wait_for_the_server(&mut self, transfer: &mut Transfer) {
        transfer.unanswered += 1;
        assert!(transfer.unanswered < 1000, "the server never came back");
        for _ in 0..1000 {
            self.hang_up();
            let ping = [("BITS-Packet-Type", "Ping"), ("Content-Length", "0")];
            match self.try_send(&ping, b"").await {
                Some(answer) if answer.status == 200 => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("the server did not come back");
    }
}

/// Headers as [`BitsClient::send`] takes them.
pub fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Returns the offset at which the server wants the client to continue.
#[track_caller]
pub fn next_offset(answer: &Answer) -> u64 {
    let text = answer.required_header("bits-received-content-range");
    text.parse().unwrap_or_else(|_| panic!("{}: {text} is no offset", answer.question))
}

/// Asserts the rules that every Ack keeps, whatever its status.
#[track_caller]
fn must_be_ack(answer: &Answer) {
    assert_eq!(answer.header("bits-packet-type"), Some("Ack"), "{answer:?}");
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert_eq!(answer.header("pragma"), Some("no-cache"), "{answer:?}");
    assert!(answer.header("content-type").is_none() && answer.body.is_empty(), "{answer:?}");
    let has_code = answer.header("bits-error-code").is_some();
    assert!(!(answer.status < 300 && has_code), "{answer:?}: an error in a success");
}

/// Makes sure of an Ack's status and of its code, under both names.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("bits-error"), Some(code), "{answer:?}");
    assert_eq!(answer.header("bits-error-code"), Some(code), "{answer:?}");
    assert_eq!(answer.header("bits-error-context"), Some("0x5"), "{answer:?}");
}

fn not_found(answer: &Answer) -> bool {
    answer.header("bits-error") == Some(SESSION_NOT_FOUND)
}
