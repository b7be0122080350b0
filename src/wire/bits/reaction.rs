//! What a BITS client is to do when it is refused, and the status and code that make it do so.
//!
//! A client gives up upon 4xx, except 408 and 409, and 501 and 505; it tries again upon other 5xx. So
//! what passes by itself is always 503, and what the client can mend has the code that makes it do so.

use actix_web::http::StatusCode;

use super::ack::{Ack, Context, HResult};

/// What a client that is refused is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// What it asks for is wrong and stays so.
    GiveUp,
    /// It has no right to it.
    NotAllowed,
    /// The status says all by itself; the listener adds the challenges.
    LogIn,
    /// The session is gone, or the draft that it was for: the file goes into the next one.
    BeginAnew,
    /// To send the same again: it is not to give up for a line that is slow or broke.
    SendAgain,
    /// To wait: sessions end by themselves, closed, cancelled or expired. Refused for good the client would give
    /// up, and ending the newest ones instead, as IIS does, would throw away what they sent.
    Wait,
    /// To wait for something behind the server.
    WaitForBackEnd,
    /// To report a full disk.
    ReportFullDisk,
    /// To report a file that is too large.
    ReportTooLarge,
    /// To try again after a failure of what stands behind the server.
    TryAgain,
}

impl Reaction {
    pub fn ack(self) -> Ack {
        use Context::{BackEnd, Server};
        use StatusCode as S;
        let (status, code, context) = match self {
            Self::GiveUp => (S::BAD_REQUEST, HResult::INVALID_ARGUMENT, Server),
            Self::NotAllowed => (S::FORBIDDEN, HResult::ACCESS_DENIED, Server),
            Self::LogIn => return Ack::with_status(S::UNAUTHORIZED),
            Self::BeginAnew => (S::INTERNAL_SERVER_ERROR, HResult::SESSION_NOT_FOUND, Server),
            Self::SendAgain => (S::REQUEST_TIMEOUT, HResult::BUSY, Server),
            Self::Wait => (S::SERVICE_UNAVAILABLE, HResult::BUSY, Server),
            Self::WaitForBackEnd => (S::SERVICE_UNAVAILABLE, HResult::BUSY, BackEnd),
            Self::ReportFullDisk => (S::INTERNAL_SERVER_ERROR, HResult::DISK_FULL, Server),
            Self::ReportTooLarge => (S::INTERNAL_SERVER_ERROR, HResult::TOO_LARGE, Server),
            Self::TryAgain => (S::INTERNAL_SERVER_ERROR, HResult::FAILED, BackEnd),
        };
        Ack::refused(status, code, context)
    }
}
