//! Replaces the framework's own refusals by ours: its parser answers a malformed head with a bare status, which no log
//! records.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::api::conventions::problem::{Code, Problem};
use crate::telemetry::request::{Observer, RefusedHead, with_current_id};

/// The longest target in the log, in characters; longer ones are cut, because a head may have 128 KiB.
const LONGEST_TARGET: usize = 2048;

/// The data that a connection needs to refuse a head.
#[derive(Clone)]
pub(super) struct Refusals {
    pub observer: Rc<Observer>,
    pub server: SocketAddr,
    pub client: IpAddr,
}

/// Returns the status if `bytes` are a refusal by the framework. All answers of the application have a request id.
pub(super) fn status_of(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.").filter(|rest| rest.get(2) == Some(&b'4'))?;
    let status = str::from_utf8(status.get(2..5)?).ok()?.parse().ok()?;
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes, |end| &bytes[..end]);
    memchr::memmem::find(head, b"\r\nx-request-id:").is_none().then_some(status)
}

impl Refusals {
    /// Returns the answer to send instead, which closes the connection, and logs the refusal.
    pub(super) fn told(&self, status: u16, (method, target): (String, String)) -> Vec<u8> {
        let problem = match status {
            408 => Problem::new(
                Code::HeadTooSlow,
                "the head of the request did not arrive in time: send it without pauses",
            ),
            431 => Problem::new(
                Code::HeadTooLarge,
                "the head of the request is larger than 128 KiB: shorten its request line and headers",
            ),
            _ => Problem::new(
                Code::MalformedHead,
                "this is not a valid HTTP/1.1 request: its request line, a header or the length of its body is wrong",
            ),
        };
        let id = self.observer.ids.next().simple().to_string();
        let target: String = target.chars().take(LONGEST_TARGET).collect();
        let status = problem.status().as_u16();
        tracing::warn!(client = %self.client, %method, %target, status, request_id = %id, "the head of a request was refused");
        let (server, client) = (self.server, self.client);
        let head =
            RefusedHead { server, client, method: &method, target: &target, status, id: &id };
        self.observer.refused(&head);
        with_current_id(&id, || as_answer(&problem, &id)).into_bytes()
    }
}

/// Formats a complete answer, after which the connection is closed.
pub(super) fn as_answer(problem: &Problem, id: &str) -> String {
    let headers: String = problem
        .headers()
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}\r\n", value.to_str().ok()?)))
        .collect();
    let body = serde_json::to_string(&problem.document()).unwrap_or_default();
    format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\n\
         x-request-id: {id}\r\n{headers}content-length: {}\r\n\r\n{body}",
        problem.status(),
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_id_is_the_frameworks_own() {
        let own = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(status_of(own), Some(400));
        assert_eq!(status_of(b"HTTP/1.1 404 Not Found\r\nx-request-id: a\r\n\r\n"), None);
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(status_of(b"a body"), None);
    }
}
