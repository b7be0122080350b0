//! The reasons why a command can fail: one sentence for the user, one exit code for scripts.
//!
//! Everything that goes wrong on the client's side becomes a [`Failure`] where it happens, with a message that fits
//! there. `main` prints it and exits with its code. A failure never contains credentials: errors of the HTTP library
//! are shown without their address, which might contain some.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::exit_code::Exit;

/// The longest part of an answer that is read as a problem document. A problem document has a few hundred bytes.
const LONGEST_PROBLEM: usize = 64 * 1024;
/// The longest wait for more of a problem document. The status is known by then; its explanation is not worth more.
const PROBLEM_STALL: Duration = Duration::from_secs(5);

/// The code of a failure for want of room on a local disk.
const NO_ROOM: &str = "no_room";

/// A command that could not be done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    /// The server's stable code for its refusal, or ours for what the program itself tells apart.
    code: Option<String>,
    /// The time after which the server wants to be asked again.
    retry_after: Option<Duration>,
}

/// The fields of a problem document (RFC 9457) that the client reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    request_id: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), code: None, retry_after: None }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Reports a failure with a local file or folder; `action` is a verb as in "cannot read".
    pub fn local(action: &str, path: &Path, error: &io::Error) -> Self {
        let failure =
            Self::new(Exit::Storage, format!("cannot {action} {}: {error}", path.display()));
        let is_full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full { failure.with_code(NO_ROOM) } else { failure }
    }

    /// Reports that a local disk is too small.
    pub fn no_room(message: String) -> Self {
        Self::new(Exit::Storage, message).with_code(NO_ROOM)
    }

    /// Reports whether a local disk is too small, and nothing else is wrong.
    pub fn is_no_room(&self) -> bool {
        self.code.as_deref() == Some(NO_ROOM)
    }

    /// Adds the time after which the server wants to be asked again.
    #[must_use]
    pub fn until(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }

    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Reports that a task of this program ended without a result. This can only be a defect of the program.
    pub fn lost_task(error: &tokio::task::JoinError) -> Self {
        Self::new(Exit::Other, format!("a background task ended unexpectedly: {error}"))
    }

    /// Reports that the server's answer does not conform to the API.
    pub fn unreadable(what: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(Exit::Other, format!("the server's {what} cannot be understood: {reason}"))
    }

    /// Reports that no answer came, or that the connection broke.
    pub fn line(server: &str, error: &reqwest::Error) -> Self {
        let hint = if is_untrusted_certificate(error) {
            "; if its certificate is from a private authority, set --ca FILE"
        } else if is_without_tls(error) {
            "; this port does not speak TLS: try http:// instead of https://"
        } else if server.starts_with("http:") && is_cut_off(error) {
            "; if this port speaks TLS, use https:// instead of http://"
        } else {
            ""
        };
        let reason = innermost(error);
        Self::new(Exit::Unreachable, format!("cannot reach {server}: {reason}{hint}"))
    }

    /// Reports a refusal by the server. Reads the answer's problem document, if there is one.
    pub async fn answered(response: Response) -> Self {
        let status = response.status();
        let problem: Problem =
            serde_json::from_slice(&start_of_body(response).await).unwrap_or_default();
        let code = problem.code.clone();
        Self { code, ..Self::new(Exit::for_status(status.as_u16()), describe(status, problem)) }
    }

    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the server's stable code for its refusal, if the failure is one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Turns a refusal that may be temporary into `Unreachable`, so that a caller that gives up after some tries may
    /// come back later.
    #[must_use]
    pub fn that_may_pass(self) -> Self {
        Self { exit: Exit::Unreachable, ..self }
    }

    /// Adds the step of a longer job in which the failure happened.
    #[must_use]
    pub fn while_doing(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// Sets the stable code of the refusal.
    #[must_use]
    pub fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// Returns the failure for scripts: a problem document (RFC 9457), and the older form in `error`.
    pub fn problem(&self) -> Value {
        let exit_code = u8::from(self.exit);
        json!({
            "title": self.exit.title(), "detail": self.message, "code": self.code, "exit_code": exit_code,
            "error": { "message": self.message, "code": self.code, "exit_code": exit_code },
        })
    }

    /// Adds a hint on what the user can do or should know.
    #[must_use]
    pub fn with_hint(self, hint: &str) -> Self {
        Self { message: format!("{}; {hint}", self.message), ..self }
    }
}

async fn start_of_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < LONGEST_PROBLEM
        && let Ok(Ok(Some(chunk))) = timeout(PROBLEM_STALL, response.chunk()).await
    {
        body.extend_from_slice(&chunk);
    }
    body
}

/// Formats a refusal: `the server refused (409 not_a_draft): Revision 3 is sealed (request 0198…)`
fn describe(status: StatusCode, problem: Problem) -> String {
    let code = problem.code.map(|code| format!(" {code}")).unwrap_or_default();
    let reason = problem
        .detail
        .or(problem.title)
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned());
    let request = problem.request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
    let hint = if status == StatusCode::UNAUTHORIZED {
        "; set credentials with --user and --password-file, --token-file, or IMAGEDEPOT_USER, \
         IMAGEDEPOT_PASSWORD and IMAGEDEPOT_TOKEN"
    } else {
        ""
    };
    let text = format!("the server refused ({}{code}): {reason}{request}{hint}", status.as_u16());
    // The text comes from another machine and goes to a terminal, so it must not contain escape sequences.
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Returns the last cause of the chain: "Connection refused", not "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // Only the outermost error prints the address.
    if error.source().is_none() { "the request failed".to_owned() } else { cause.to_string() }
}

/// Reports whether the server's certificate is not trusted. A retry does not help then.
pub fn is_untrusted_certificate(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

/// Reports whether the peer did not answer with TLS. A retry does not help then either.
pub fn is_without_tls(error: &reqwest::Error) -> bool {
    use rustls::InvalidMessage as M;
    matches!(
        tls_error(error),
        Some(rustls::Error::InvalidMessage(M::InvalidContentType | M::UnknownProtocolVersion))
    )
}

/// Reports whether the peer sent nothing that can be read as HTTP.
fn is_cut_off(error: &reqwest::Error) -> bool {
    let reason = innermost(error);
    !error.is_connect()
        && ["connection closed before message completed", "invalid HTTP version parsed"]
            .contains(&reason.as_str())
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An `io::Error` hides the error it carries from the chain, and may carry another one.
        let carried = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match carried {
            Some(carried) => Some(carried),
            None => current.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_code_detail_and_request() {
        let problem = Problem {
            code: Some("revision_sealed".to_owned()),
            title: Some("Conflict".to_owned()),
            detail: Some("Revision 3 is sealed; \x1b[31mits files stay as they are.".to_owned()),
            request_id: Some("0198".to_owned()),
        };
        assert_eq!(
            describe(StatusCode::CONFLICT, problem),
            "the server refused (409 revision_sealed): Revision 3 is sealed;  [31mits files stay \
             as they are. (request 0198)"
        );
    }

    #[test]
    fn an_answer_that_is_no_problem_document_still_makes_a_sentence() {
        assert_eq!(
            describe(StatusCode::BAD_GATEWAY, Problem::default()),
            "the server refused (502): Bad Gateway"
        );
    }

    #[test]
    fn a_script_can_tell_the_refusals_apart() {
        for (status, exit) in [
            (401, Exit::Refused),
            (404, Exit::NotFound),
            (412, Exit::Conflict),
            (503, Exit::Unreachable),
            (507, Exit::Storage),
            (500, Exit::Other),
        ] {
            assert_eq!(Exit::for_status(status), exit, "{status}");
        }
    }
}
