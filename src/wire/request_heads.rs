//! Corrects the heads of HTTP/1 requests before the framework reads them (RFC 9110, RFC 9112).
//!
//! The framework's parser deviates from the standards:
//!
//! - It follows `Upgrade` although nothing answers it (RFC 9110 section 7.8: a server may ignore it).
//! - It requires a length for each HTTP/1.0 `POST` (RFC 9112 section 6.3: without one there is no body).
//! - It asks for a body before anybody has checked that it is wanted (RFC 9110 section 10.1.1).
//! - It answers requests that come after `Connection: close` (RFC 9112 section 9.6).
//!
//! Here the bytes pass through line by line, and those lines are changed. If something is not plain HTTP/1, everything
//! from there on stays unchanged, and the parser refuses it. `server::connection` handles sockets and answers.

mod chunks;

use chunks::Chunks;

/// The longest line that is held. A longer one is refused by the parser, which has 128 KiB for a whole head.
const LONGEST_LINE: usize = 128 << 10;

/// The request heads of one connection.
#[derive(Debug, Default)]
pub struct RequestHeads {
    state: State,
    /// A line whose end has not arrived yet.
    held: Vec<u8>,
    /// The first line of the last request.
    request_line: Vec<u8>,
    /// Set if a request arrived that waits for `100 Continue`.
    expects_continue: bool,
    /// The number of complete heads.
    ended: u64,
}

#[derive(Debug, Default)]
enum State {
    /// No part of a head has arrived, except for empty lines.
    #[default]
    Between,
    Head(Head),
    Body {
        left: u64,
        is_last: bool,
    },
    Chunked(Chunks),
    /// The last request of the connection has arrived. Anything after it is ignored.
    Over,
    Untouched,
}

/// The relevant parts of a head, as far as it has arrived.
#[derive(Debug, Default)]
struct Head {
    version: Version,
    is_post: bool,
    length: Option<u64>,
    chunked: bool,
    persistence: Persistence,
    expects_continue: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    Http10,
    #[default]
    Http11,
}

/// The request's choice of what happens to its connection (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Persistence {
    /// The request does not say, so the version decides.
    #[default]
    Unsaid,
    KeepAlive,
    Close,
}

/// The treatment of a line.
enum Verdict {
    Keep,
    Leave,
    Instead(String),
    /// The line is passed on unchanged, and the parser decides.
    Irregular,
}

impl RequestHeads {
    /// Takes the next bytes of the connection. Appends to `output` what the parser is to read instead of them.
    pub fn take(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            let taken = match &mut self.state {
                State::Between | State::Head(_) => self.take_line(input, output),
                State::Body { left, .. } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= taken as u64;
                    output.extend_from_slice(&input[..taken]);
                    taken
                }
                State::Chunked(chunks) => {
                    let taken = chunks.take(input);
                    output.extend_from_slice(&input[..taken]);
                    taken
                }
                State::Over => return,
                State::Untouched => {
                    output.extend_from_slice(input);
                    return;
                }
            };
            self.end_body();
            input = &input[taken..];
        }
    }

    /// Reports whether `input` is one complete head, or part of a body, that passes unchanged. If so, it counts as
    /// taken.
    pub fn passes(&mut self, input: &[u8]) -> bool {
        match &mut self.state {
            // The usual case for nearly all requests: nothing is copied.
            State::Between if self.held.is_empty() => self.passes_head(input),
            State::Body { left, .. } if *left > input.len() as u64 => {
                *left -= input.len() as u64;
                true
            }
            State::Untouched => true,
            _ => false,
        }
    }

    /// Ends the input: the client sends no more, and the parser judges what was held back.
    pub fn end(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.held);
        self.state = State::Untouched;
    }

    /// Ignores everything after the last request: its answer closes the connection (RFC 9112 section 9.6).
    pub fn mark_request_last(&mut self) {
        match &mut self.state {
            State::Between => self.state = State::Over,
            State::Body { is_last, .. } => *is_last = true,
            State::Chunked(chunks) => chunks.mark_last(),
            State::Head(_) | State::Over | State::Untouched => {}
        }
    }

    /// Reports whether a request whose body waits for `100 Continue` has arrived since the last call. The parser does
    /// not see the expectation.
    pub fn take_expectation(&mut self) -> bool {
        std::mem::take(&mut self.expects_continue)
    }

    /// Returns the method and target of the last request, unchanged, as far as they have arrived.
    pub fn request_line(&self) -> (String, String) {
        let line = String::from_utf8_lossy(&self.request_line).into_owned();
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// Reports whether the parser may have refused a head, if the application has seen `begun` requests: a head is
    /// incomplete, irregular or has not been seen, or none has arrived at all.
    pub fn may_be_refused(&self, begun: u64) -> bool {
        match self.state {
            State::Head(_) | State::Untouched => true,
            _ => self.ended == 0 || self.ended > begun || !self.held.is_empty(),
        }
    }

    /// Takes one line, or the beginning of one. Returns the number of bytes of `input` that were used.
    fn take_line(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let Some(end) = memchr::memchr(b'\n', input) else {
            self.held.extend_from_slice(input);
            if self.held.len() > LONGEST_LINE {
                self.end(output);
            }
            return input.len();
        };
        let piece = &input[..=end];
        if self.held.is_empty() {
            self.judge(piece, output);
        } else {
            let mut line = std::mem::take(&mut self.held);
            line.extend_from_slice(piece);
            self.judge(&line, output);
            line.clear();
            self.held = line;
        }
        end + 1
    }

    fn judge(&mut self, line: &[u8], output: &mut Vec<u8>) {
        let Some(text) = line.strip_suffix(b"\r\n") else {
            output.extend_from_slice(line);
            self.state = State::Untouched;
            return;
        };
        if text.is_empty() {
            self.end_head(output);
            output.extend_from_slice(line);
            return;
        }
        let verdict = match &mut self.state {
            State::Head(head) => head.judge(text),
            _ => self.begin_head(text),
        };
        match verdict {
            Verdict::Keep => output.extend_from_slice(line),
            Verdict::Leave => {}
            Verdict::Instead(other) => {
                output.extend_from_slice(other.as_bytes());
                output.extend_from_slice(b"\r\n");
            }
            Verdict::Irregular => {
                output.extend_from_slice(line);
                self.state = State::Untouched;
            }
        }
    }

    /// Reports whether the input is exactly one head without a body, all lines of which stay unchanged.
    fn passes_head(&mut self, input: &[u8]) -> bool {
        let Some(lines) = input.strip_suffix(b"\r\n\r\n") else { return false };
        let mut lines = lines.split(|byte| *byte == b'\n').peekable();
        let mut next = move || {
            let line = lines.next()?;
            // The end of the last line was removed above.
            Some(if lines.peek().is_some() {
                line.strip_suffix(b"\r").unwrap_or_default()
            } else {
                line
            })
        };
        let Some(first) = next() else { return false };
        let Some(mut head) = Head::begun_by(first) else { return false };
        while let Some(line) = next() {
            if line.is_empty() || !matches!(head.judge(line), Verdict::Keep) {
                return false;
            }
        }
        if head.chunked || head.length.is_some_and(|length| length > 0) || head.lacks_length() {
            return false;
        }
        self.request_line.clear();
        self.request_line.extend_from_slice(first);
        self.ended += 1;
        self.state = if head.is_last() { State::Over } else { State::Between };
        true
    }

    fn begin_head(&mut self, line: &[u8]) -> Verdict {
        self.request_line.clear();
        self.request_line.extend_from_slice(line);
        let Some(head) = Head::begun_by(line) else { return Verdict::Irregular };
        self.state = State::Head(head);
        Verdict::Keep
    }

    /// Ends the head at its empty line.
    fn end_head(&mut self, output: &mut Vec<u8>) {
        let State::Head(head) = &self.state else { return };
        self.ended += 1;
        if head.lacks_length() {
            output.extend_from_slice(b"content-length: 0\r\n");
        }
        let is_last = head.is_last();
        self.expects_continue |= head.expects_continue;
        self.state = match (head.chunked, head.length) {
            (true, Some(_)) => State::Untouched,
            (true, None) => State::Chunked(Chunks::before(is_last)),
            (false, Some(left @ 1..)) => State::Body { left, is_last },
            (false, _) if is_last => State::Over,
            (false, _) => State::Between,
        };
    }

    fn end_body(&mut self) {
        match &self.state {
            State::Body { left: 0, is_last: true } => self.state = State::Over,
            State::Body { left: 0, is_last: false } => self.state = State::Between,
            State::Chunked(chunks) => match chunks.end() {
                Some(chunks::End::Irregular) => self.state = State::Untouched,
                Some(chunks::End::Last) => self.state = State::Over,
                Some(chunks::End::NotLast) => self.state = State::Between,
                None => {}
            },
            _ => {}
        }
    }
}

impl Head {
    /// Returns the head that begins with this line, or none if it is not plain HTTP/1.
    fn begun_by(line: &[u8]) -> Option<Self> {
        let version = match line.get(line.len().checked_sub(9)?..)? {
            b" HTTP/1.1" => Version::Http11,
            b" HTTP/1.0" => Version::Http10,
            _ => return None,
        };
        let is_plain = !line.starts_with(b"CONNECT ");
        is_plain.then(|| Self { version, is_post: line.starts_with(b"POST "), ..Self::default() })
    }

    /// Reports whether the head lacks a length that the parser requires, as it does of each HTTP/1.0 `POST`.
    fn lacks_length(&self) -> bool {
        let has_length = self.length.is_some() || self.chunked;
        self.version == Version::Http10 && self.is_post && !has_length
    }

    /// Reports whether the request is the last one of its connection.
    fn is_last(&self) -> bool {
        match self.persistence {
            Persistence::Unsaid => self.version == Version::Http10,
            Persistence::KeepAlive => false,
            Persistence::Close => true,
        }
    }

    fn judge(&mut self, line: &[u8]) -> Verdict {
        let Some(colon) = memchr::memchr(b':', line) else { return Verdict::Irregular };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Compare the first letter of the name first; most lines have other names.
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b' ' | b'\t') | None => Verdict::Irregular,
            Some(b'c') if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            Some(b'c') if name.eq_ignore_ascii_case(b"content-length") => self.length(value),
            Some(b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => self.encoding(value),
            Some(b'u') if name.eq_ignore_ascii_case(b"upgrade") => Verdict::Leave,
            Some(b'e') if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            _ => Verdict::Keep,
        }
    }

    fn connection(&mut self, value: &[u8]) -> Verdict {
        let Ok(value) = str::from_utf8(value) else { return Verdict::Irregular };
        let options = || value.split(',').map(str::trim);
        let has = |option: &str| options().any(|other| other.eq_ignore_ascii_case(option));
        if has("close") {
            self.persistence = Persistence::Close;
        } else if has("keep-alive") && self.persistence == Persistence::Unsaid {
            self.persistence = Persistence::KeepAlive;
        }
        if !has("upgrade") {
            return Verdict::Keep;
        }
        let others: Vec<_> =
            options().filter(|option| !option.eq_ignore_ascii_case("upgrade")).collect();
        if others.is_empty() {
            return Verdict::Leave;
        }
        Verdict::Instead(format!("connection: {}", others.join(", ")))
    }

    fn length(&mut self, value: &[u8]) -> Verdict {
        let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
        let length = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        if length.is_none() || self.length.is_some() {
            return Verdict::Irregular;
        }
        self.length = length;
        Verdict::Keep
    }

    fn encoding(&mut self, value: &[u8]) -> Verdict {
        if self.chunked
            || self.version == Version::Http10
            || !value.eq_ignore_ascii_case(b"chunked")
        {
            return Verdict::Irregular;
        }
        self.chunked = true;
        Verdict::Keep
    }

    /// Handles `Expect`, which means nothing before HTTP/1.1 (RFC 9110 section 10.1.1).
    fn expect(&mut self, value: &[u8]) -> Verdict {
        let is_continue = value.eq_ignore_ascii_case(b"100-continue");
        if !is_continue || self.version == Version::Http10 {
            return Verdict::Keep;
        }
        self.expects_continue = true;
        Verdict::Leave
    }
}

#[cfg(test)]
mod tests;
