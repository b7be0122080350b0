//! Refusals in the format of the IETF draft.

use actix_web::http::StatusCode;

use crate::api::conventions::problem::{Code, Problem};
use crate::api::uploads::limits::limits;
use crate::api::uploads::session::Call;
use crate::wire::resumable as fields;

/// Adds to a refusal what the draft requires: its problem types, the limits, and whether the upload is complete.
pub fn as_draft_refusal(call: &Call, problem: Problem) -> Problem {
    let problem = match problem.code() {
        Code::BeyondEnd => inconsistent(),
        Code::UploadComplete => problem.with_type(fields::COMPLETED_UPLOAD),
        _ => problem,
    };
    let problem = match (problem.status(), limits(&call.depot).to_string().try_into()) {
        (StatusCode::PAYLOAD_TOO_LARGE, Ok(limits)) => {
            problem.with_header(fields::UPLOAD_LIMIT.clone(), limits)
        }
        _ => problem,
    };
    if problem.has_header(&fields::UPLOAD_COMPLETE) {
        return problem;
    }
    problem.with_header(fields::UPLOAD_COMPLETE.clone(), fields::write_complete(false))
}

pub fn inconsistent() -> Problem {
    let detail = "the length that the request states does not match its body, or the length that was stated before";
    Problem::new(Code::InconsistentUploadLength, detail).with_type(fields::INCONSISTENT_LENGTH)
}

/// Returns the 415 for a PATCH of neither protocol.
pub fn partial_upload_expected() -> Problem {
    let detail = "append bytes as application/partial-upload with Upload-Complete and Upload-Offset, or in the tus \
                  protocol with Tus-Resumable";
    Problem::new(Code::PartialUploadExpected, detail)
}

pub fn malformed(detail: &str) -> Problem {
    Problem::new(Code::MalformedUploadHeader, detail)
}
