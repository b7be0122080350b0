//! The reaction that a refusal should cause in a BITS client, and the status and code that cause it.
//!
//! A client gives up after 4xx (except 408 and 409), 501 and 505; it tries again after other 5xx. Therefore temporary
//! conditions are always 503, and what the client can fix has the code that makes it do so.

use actix_web::http::StatusCode;

use super::ack::{Ack, Context, HResult};

/// The reaction of a client that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Give up: the request is wrong and stays wrong.
    GiveUp,
    /// Give up: the client has no right to do this.
    NotAllowed,
    /// Log in. The status says everything; the listener adds the challenges.
    LogIn,
    /// Start again: the session is gone, or the draft that it was for. The file goes into the next one.
    BeginAnew,
    /// Send the same again. A slow or broken connection is no reason to give up.
    SendAgain,
    /// Wait: sessions end by themselves when they are closed, cancelled or expired. After a permanent refusal the
    /// client would give up. Ending the newest sessions instead, as IIS does, would throw away what they have sent.
    Wait,
    /// Wait for something behind the server.
    WaitForBackEnd,
    /// Report a full disk.
    ReportFullDisk,
    /// Report a file that is too large.
    ReportTooLarge,
    /// Try again after a failure of something behind the server.
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
