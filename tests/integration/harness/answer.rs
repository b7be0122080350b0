//! An answer of the server, and the rules that every answer of its kind must keep.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The request, for messages.
    pub question: String,
}

impl Answer {
    /// The same, after making sure of its status.
    #[track_caller]
    pub fn expecting(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}", self.question, self.excerpt());
        self
    }

    /// A header's value, `None` when it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of plain text"))
    }

    /// A header that must be there.
    #[track_caller]
    pub fn required_header(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("{}: no {name}", self.question))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.question, self.excerpt()))
    }

    /// The items of a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().expect("a list has items").clone()
    }

    /// The whole body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the part of the body that a failed test shows.
    fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]).into_owned()
    }

    /// Makes sure that this is a problem document of the given status, with all that section 5 of
    /// the design asks of one, and hands out its stable code.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{} answered {}", self.question, self.excerpt());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{} answered {}",
            self.question,
            self.excerpt()
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail", "code", "request_id"] {
            let text = problem[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{}: {field} is missing in {problem}", self.question);
        }
        let code = problem["code"].as_str().unwrap_or_default();
        let is_stable =
            code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit());
        assert!(is_stable, "{code} is no code to compare with");
        code.to_owned()
    }

    /// Makes sure that this is a problem document of one of the given statuses.
    #[track_caller]
    pub fn problem_of(&self, statuses: &[u16]) -> String {
        assert!(statuses.contains(&self.status), "{} answered {}", self.question, self.excerpt());
        self.problem(self.status)
    }
}
