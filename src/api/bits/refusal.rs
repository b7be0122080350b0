//! Refusals in BITS: converts a problem into the answer that makes BITS clients react as the table of refusals
//! (`api::conventions::problem::code`) says.

use actix_web::http::StatusCode as S;
use actix_web::http::header::{HeaderName, HeaderValue};

use crate::api::conventions::problem::{Code, Problem};
use crate::catalog::Error;
use crate::model::BitsSession;
use crate::wire::bits::{Ack, Malformed, Reaction};

/// The reason why a packet was refused, for the log, and the answer to its sender.
#[derive(Debug)]
pub struct Refusal {
    why: String,
    ack: Ack,
    overtaken: bool,
}

impl Refusal {
    fn new(why: impl Into<String>, ack: Ack) -> Self {
        Self { why: why.into(), ack, overtaken: false }
    }

    /// Reports whether another request of the same session has arrived and continues with it.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    /// Returns the refusal for a session that is unknown, has expired or belongs to another caller. The client begins
    /// again with a new session.
    pub fn session_not_found() -> Self {
        Error::UploadNotFound.into()
    }

    /// Returns a 413 without an error code, after which the client sends the same bytes in smaller fragments.
    pub fn large_fragment(limit: u64) -> Self {
        let why = format!("a fragment is larger than bits.max_fragment, {limit} bytes");
        Self::new(why, Ack::with_status(S::PAYLOAD_TOO_LARGE))
    }

    /// Converts an error like any other, except for a wrong offset: that answer names the correct offset.
    pub fn of_fragment(session: &BitsSession, error: Error) -> Self {
        match error {
            Error::OffsetMismatch { expected, .. } => {
                Self::new(error.to_string(), Ack::out_of_order(session.id, expected))
            }
            other => other.into(),
        }
    }

    pub fn into_ack(self) -> Ack {
        self.ack
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::new(malformed.to_string(), Reaction::GiveUp.ack())
    }
}

/// Goes through the API's table of refusals, which also logs failures inside the server.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let mut ack = problem.code().reaction().ack();
        ack.fields.extend(problem.headers().iter().cloned());
        let says_when = ack.fields.iter().any(|(name, _)| *name == RETRY_LATER.0);
        if ack.status == S::SERVICE_UNAVAILABLE && !says_when {
            ack.fields.push(RETRY_LATER.clone());
        }
        let overtaken = problem.code() == Code::UploadTakenOver;
        Self { overtaken, ..Self::new(problem.to_string(), ack) }
    }
}

/// The wait in seconds: long enough to cause no load, short enough for a person who waits.
const RETRY_LATER: (HeaderName, HeaderValue) =
    (HeaderName::from_static("retry-after"), HeaderValue::from_static("60"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileRole;
    use crate::storage::StorageError;

    fn told(error: Error) -> (u16, String, String, bool) {
        let ack = Refusal::from(error).into_ack();
        let text = |name: &str| {
            let field = ack.fields.iter().find(|(field, _)| field.as_str() == name);
            field.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert_eq!(text("bits-error"), text("bits-error-code"));
        let waits = !text("retry-after").is_empty();
        (ack.status.as_u16(), text("bits-error"), text("bits-error-context"), waits)
    }

    #[test]
    fn what_the_client_can_mend_or_must_give_up_has_its_code() {
        for (error, status, code) in [
            (Error::UploadNotFound, 500, "0x8020001F"),
            (Error::UploadLost, 500, "0x8020001F"),
            (Error::RevisionSealed(1), 500, "0x8020001F"),
            (Error::NoRoom { needed: 2, available: 1 }, 500, "0x80070070"),
            (Error::TooLarge { size: 2, limit: 1 }, 500, "0x80200020"),
            (Error::QuotaExceeded { used: 1, size: 2, limit: 1 }, 500, "0x80200020"),
            (Error::invalid("destination", "x"), 400, "0x80070057"),
            (Error::RoleUnknown { kind: "single", role: FileRole::Ckm }, 400, "0x80070057"),
            (Error::Forbidden("x"), 403, "0x80070005"),
        ] {
            let what = error.to_string();
            assert_eq!(told(error), (status, code.to_owned(), "0x5".to_owned(), false), "{what}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_503_with_a_time() {
        for (error, context) in [
            (Error::TooManyUploads { open: 50, limit: 50 }, "0x5"),
            (Error::UploadBusy, "0x5"),
            (Error::UploadTakenOver, "0x5"),
            (Error::Storage(StorageError::Unavailable("away".to_owned())), "0x7"),
        ] {
            let what = error.to_string();
            let expected = (503, "0x800700AA".to_owned(), context.to_owned(), true);
            assert_eq!(told(error), expected, "{what}");
        }
    }

    #[test]
    fn who_guessed_passwords_is_told_one_time_to_come_again() {
        let wait = std::time::Duration::from_secs(7);
        let denied = crate::access::Denied::Slowed { wait };
        let ack = Refusal::from(Problem::from(denied)).into_ack();
        let times = ack.fields.iter().filter(|(name, _)| name.as_str() == "retry-after");
        let times: Vec<_> = times.map(|(_, value)| value.to_str().unwrap()).collect();
        assert_eq!((ack.status, times), (S::SERVICE_UNAVAILABLE, vec!["7"]));
    }

    #[test]
    fn a_failure_of_what_stands_behind_is_told_as_that() {
        let error = Error::Storage(StorageError::Unusable("x".to_owned()));
        assert_eq!(told(error), (500, "0x80004005".to_owned(), "0x7".to_owned(), false));
    }

    #[test]
    fn who_is_unknown_gets_401_and_no_code() {
        let ack = Refusal::from(Problem::from(crate::access::Denied::Anonymous)).into_ack();
        assert_eq!(ack.status, 401);
        let names: Vec<_> = ack.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bits-packet-type", "pragma"]);
    }
}
