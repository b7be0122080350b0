//! The answers to update checks and reports, as far as a simulation reads them.

use std::borrow::Cow;

use hyper::body::Bytes;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

/// One answer of the server, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The answer to an update check.
#[derive(Debug, Deserialize)]
pub struct Told<'a> {
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    pub target: Option<Target>,
}

/// The revision that the client is to have.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub revision: u32,
    pub files: Vec<TargetFile>,
}

#[derive(Debug, Deserialize)]
pub struct TargetFile {
    pub size: u64,
}

/// An answer that is not the one that a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status with the server's code: `503 too_many_checks`.
    pub kind: String,
    /// Set if the server said when to come back.
    pub come_back: bool,
}

/// The field of a problem document (RFC 9457) that tells refusals apart.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

impl Target {
    /// Returns the size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

impl Told<'_> {
    /// Returns the revision to change to, if the client is told to change.
    pub fn change(self) -> Option<Target> {
        self.target.filter(|_| matches!(&*self.action, "update" | "rollback"))
    }
}

impl Reply {
    /// Reads the answer to an update check.
    pub fn told(&self) -> Result<Told<'_>, Refused> {
        if self.status != StatusCode::OK {
            return Err(self.refused());
        }
        let unreadable =
            |_| Refused { kind: "an answer that is none".to_owned(), come_back: false };
        serde_json::from_slice(&self.body).map_err(unreadable)
    }

    /// Reads the answer to a report.
    pub fn acknowledged(&self) -> Result<(), Refused> {
        if self.status.is_success() { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(&self) -> Refused {
        let status = self.status.as_u16();
        let kind = match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => format!("{status} {}", problem.code),
            Err(_) => format!("{status} {}", self.status.canonical_reason().unwrap_or_default()),
        };
        Refused { kind, come_back: self.headers.contains_key(RETRY_AFTER) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn only_update_and_rollback_tell_a_client_to_change() {
        for (action, changes) in
            [("update", true), ("rollback", true), ("hold", false), ("none", false)]
        {
            let body = format!(
                r#"{{"action":"{action}","reason":"newer_revision","epoch":17,"target":
                     {{"revision":12,"files":[{{"role":"ckm","size":5}},{{"size":7,"x":1}}]}}}}"#
            );
            let reply = reply(200, &body);
            let told = reply.told().unwrap();
            assert_eq!((&*told.action, &*told.reason), (action, "newer_revision"));
            let target = told.change().map(|target| (target.revision, target.bytes()));
            assert_eq!(target, changes.then_some((12, 12)), "{action}");
        }
        let nothing = reply(200, r#"{"action":"update","reason":"paused","target":null}"#);
        assert!(nothing.told().unwrap().change().is_none());
    }

    #[test]
    fn a_refusal_is_counted_by_status_and_code() {
        let kind = |reply: Reply| reply.told().unwrap_err().kind;
        assert_eq!(kind(reply(503, r#"{"code":"too_many_checks"}"#)), "503 too_many_checks");
        assert_eq!(kind(reply(502, "<html>")), "502 Bad Gateway");
        assert_eq!(kind(reply(200, "<html>")), "an answer that is none");
        let mut busy = reply(503, "");
        busy.headers.insert(RETRY_AFTER, "5".parse().unwrap());
        assert!(busy.told().unwrap_err().come_back);
        assert!(reply(201, "").acknowledged().is_ok());
        assert!(reply(404, "").acknowledged().is_err());
    }
}
