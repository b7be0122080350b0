//! The answer to a client: always an Ack, whatever the status, in headers and without a body.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use uuid::Uuid;

use super::{
    ERROR, ERROR_CODE, ERROR_CONTEXT, PACKET_TYPE, PROTOCOL, RECEIVED_CONTENT_RANGE, SESSION_ID,
    UPLOAD_PROTOCOL,
};

/// A Windows error code. Clients compare its digits as text, so it is always written as `0x` and eight upper-case
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HResult(pub u32);

impl HResult {
    /// The code 0, sent with a wrong offset: the client continues from the offset in the answer.
    pub const NONE: Self = Self(0);
    /// `E_FAIL`
    pub const FAILED: Self = Self(0x8000_4005);
    /// `E_ACCESSDENIED`
    pub const ACCESS_DENIED: Self = Self(0x8007_0005);
    /// `E_INVALIDARG`
    pub const INVALID_ARGUMENT: Self = Self(0x8007_0057);
    /// Win32's `ERROR_DISK_FULL` (112). MC-BUP prints 0x80070112, which has the decimal number in the place of a
    /// hexadecimal one. Clients only show the code to people, who look this one up.
    pub const DISK_FULL: Self = Self(0x8007_0070);
    /// Win32's `ERROR_BUSY` (170): temporary, sent with 503.
    pub const BUSY: Self = Self(0x8007_00AA);
    /// `BG_E_SESSION_NOT_FOUND`: the client starts again with Create-Session (section 3.1.5.2.1).
    pub const SESSION_NOT_FOUND: Self = Self(0x8020_001F);
    /// `BG_E_TOO_LARGE`: the client gives up.
    pub const TOO_LARGE: Self = Self(0x8020_0020);
}

impl fmt::Display for HResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

/// The part of the server that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The part that speaks this protocol, `BG_ERROR_CONTEXT_REMOTE_FILE`.
    Server,
    /// The part behind it, `BG_ERROR_CONTEXT_REMOTE_APPLICATION`.
    BackEnd,
}

impl Context {
    const fn code(self) -> &'static str {
        match self {
            Self::Server => "0x5",
            Self::BackEnd => "0x7",
        }
    }
}

/// An answer. Another module turns it into the framework's response.
#[derive(Debug, Clone)]
pub struct Ack {
    pub status: StatusCode,
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Ack {
    /// Returns a 200.
    pub fn ok() -> Self {
        Self::with_status(StatusCode::OK)
    }

    /// Returns the answer to Create-Session. Its status is 200 as with IIS, and not 201, which the documents allow too.
    pub fn created(session: Uuid) -> Self {
        Self::ok()
            .of_session(session)
            .field(PROTOCOL, HeaderValue::from_static(UPLOAD_PROTOCOL))
            .field(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    }

    /// Returns the answer to a Fragment: the bytes before `next` are stored safely, and the client continues there.
    pub fn received(session: Uuid, next: u64) -> Self {
        Self::ok().of_session(session).field(RECEIVED_CONTENT_RANGE, next.into())
    }

    /// Returns a 416: the fragment does not begin at `next`, where the client has to continue.
    pub fn out_of_order(session: Uuid, next: u64) -> Self {
        Self::refused(StatusCode::RANGE_NOT_SATISFIABLE, HResult::NONE, Context::Server)
            .of_session(session)
            .field(RECEIVED_CONTENT_RANGE, next.into())
    }

    /// Returns a refusal with its code. The code is only allowed with a status other than 2xx.
    pub fn refused(status: StatusCode, code: HResult, context: Context) -> Self {
        let code = HeaderValue::try_from(code.to_string());
        let mut ack = Self::with_status(status);
        if let Ok(code) = code {
            ack = ack.field(ERROR, code.clone()).field(ERROR_CODE, code);
        }
        ack.field(ERROR_CONTEXT, HeaderValue::from_static(context.code()))
    }

    /// Returns an answer that says everything by its status: 401, 413.
    pub fn with_status(status: StatusCode) -> Self {
        let fields = vec![
            (PACKET_TYPE, HeaderValue::from_static("Ack")),
            (header::PRAGMA, HeaderValue::from_static("no-cache")),
        ];
        Self { status, fields }
    }

    /// Adds the session. IIS 6 leaves it out of most answers, but the protocol demands it in all.
    #[must_use]
    pub fn of_session(self, session: Uuid) -> Self {
        let name = session.braced().to_string().to_ascii_uppercase();
        match HeaderValue::try_from(name) {
            Ok(name) => self.field(SESSION_ID, name),
            Err(_) => self,
        }
    }

    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Uuid = Uuid::from_u128(0xA0FF_5911_4144_45B3_BF27_27AF_C8EC_8A67);

    fn text(ack: &Ack) -> Vec<String> {
        let line = |(name, value): &(HeaderName, HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        ack.fields.iter().map(line).collect()
    }

    #[test]
    fn a_new_session_is_named_in_upper_case_and_braces() {
        let ack = Ack::created(SESSION);
        assert_eq!(ack.status, 200);
        assert_eq!(
            text(&ack),
            [
                "bits-packet-type: Ack",
                "pragma: no-cache",
                "bits-session-id: {A0FF5911-4144-45B3-BF27-27AFC8EC8A67}",
                "bits-protocol: {7df0354d-249b-430f-820d-3d2a9bef4931}",
                "accept-encoding: identity",
            ]
        );
    }

    #[test]
    fn a_refusal_has_its_code_under_both_names_in_eight_upper_case_digits() {
        let ack = Ack::refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            HResult::SESSION_NOT_FOUND,
            Context::Server,
        );
        assert_eq!(ack.status, 500);
        assert_eq!(
            text(&ack)[2..],
            ["bits-error: 0x8020001F", "bits-error-code: 0x8020001F", "bits-error-context: 0x5"]
        );
        assert_eq!(Context::BackEnd.code(), "0x7");
        assert_eq!(HResult::NONE.to_string(), "0x00000000");
    }

    #[test]
    fn a_wrong_offset_is_told_the_right_one() {
        let ack = Ack::out_of_order(SESSION, 213);
        assert_eq!(ack.status, 416);
        assert!(text(&ack).contains(&"bits-received-content-range: 213".to_owned()));
        assert!(text(&ack).contains(&"bits-error: 0x00000000".to_owned()));
    }
}
