//! A stream of server-sent events, read line by line as the standard says, and the ids that it has brought.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::Person;

/// The time within which an event has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// An event of a stream.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// A stream that is open.
pub struct EventStream {
    response: Response,
    rest: Vec<u8>,
    pub comments: u32,
}

impl EventStream {
    /// Opens a stream. `query` begins with a question mark, or is empty.
    pub async fn open(person: &Person, query: &str, last: Option<&str>) -> Self {
        let mut call = person.get(&format!("/api/v1/events{query}"));
        if let Some(last) = last {
            call = call.header("Last-Event-ID", last);
        }
        let response = call.response().await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().expect("plain text").to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("x-accel-buffering"), "no");
        assert_eq!(header("cache-control"), "no-store");
        let mut stream = Self { response, rest: Vec::new(), comments: 0 };
        // Its first comment: from here on nothing is missed.
        assert!(stream.more().await, "the stream ended at once");
        stream
    }

    /// The next event, or none at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.next_at_any_time()).await.expect("an event in time")
    }

    /// The next event, whose type must be this.
    pub async fn expect(&mut self, kind: &str) -> Event {
        let event = self.next().await.expect("another event");
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    /// Makes sure that nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let next = timeout(Duration::from_millis(1500), self.next_at_any_time()).await;
        assert!(next.is_err(), "{next:?}");
    }

    pub async fn next_at_any_time(&mut self) -> Option<Event> {
        let (mut id, mut kind, mut data) = (String::new(), String::new(), String::new());
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                if data.is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&data).expect("JSON");
                return Some(Event { id, kind, data });
            }
            match line.split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => data.push_str(value),
                _ if line.starts_with(':') => self.comments += 1,
                _ => panic!("not a line of a stream: {line:?}"),
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("UTF-8"));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        match self.response.chunk().await {
            Ok(Some(piece)) => {
                self.rest.extend_from_slice(&piece);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
}
