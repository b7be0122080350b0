//! One upload session on the server, in the protocol of draft-ietf-httpbis-resumable-upload: created by `POST
//! /uploads`, queried by HEAD, continued by PATCH, cancelled by DELETE.
//!
//! This module makes single requests only. `send` decides when to make and to repeat them.

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use super::super::connection::{CALL, Connection, name_in_location};
use super::super::retry::Setback;
use super::draft::Draft;
use crate::client::error::Failure;

const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_COMPLETE: &str = "upload-complete";
const UPLOAD_LENGTH: &str = "upload-length";
/// The content type of a PATCH that appends (section 6 of the draft).
const PARTIAL_UPLOAD: &str = "application/partial-upload";

/// The conflicts that concern only the session. Those about its target are the same at every try.
const OF_THE_SESSION: [&str; 4] =
    ["offset_mismatch", "upload_taken_over", "upload_lost", "upload_complete"];

/// The state of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// The file is complete and belongs to the draft.
    Complete,
    /// The server has stored this many bytes safely.
    At(u64),
    /// The session expired, was cancelled, or never was ours.
    Gone,
}

/// Creates a session for this file of the draft. Returns its id.
pub async fn create(draft: &Draft<'_>, role: &str, size: u64) -> Result<String, Failure> {
    let connection = draft.connection();
    let wanted = json!({
        "image": draft.image(), "revision": draft.number(), "role": role, "size": size,
    });
    let response = connection.post(connection.api(&["uploads"])?, Some(&wanted)).await?;
    name_in_location(&response).map(str::to_owned)
}

pub async fn look(connection: &Connection, id: &str, size: u64) -> Result<Standing, Setback> {
    let address = connection.api(&["uploads", id]).map_err(Setback::lasting)?;
    let request = connection.request(Method::HEAD, address).timeout(CALL);
    let response = request.send().await.map_err(|error| connection.broken(&error))?;
    if is_gone(&response) {
        return Ok(Standing::Gone);
    }
    if !response.status().is_success() {
        return Err(Setback::answered(response).await);
    }
    standing(response.headers(), size).map_err(Setback::lasting)
}

/// Builds the request that sends the `left` bytes from `offset` to the end of the file.
pub fn append(
    connection: &Connection,
    id: &str,
    offset: u64,
    left: u64,
    bytes: Body,
) -> Result<RequestBuilder, Failure> {
    Ok(connection
        .request(Method::PATCH, connection.api(&["uploads", id])?)
        .header(CONTENT_TYPE, PARTIAL_UPLOAD)
        .header(UPLOAD_OFFSET, offset)
        .header(UPLOAD_COMPLETE, "?1")
        .header(CONTENT_LENGTH, left)
        .body(bytes))
}

/// Reports whether the answer to an [`append`] acknowledges the whole file.
pub fn acknowledges_the_whole(response: &Response) -> bool {
    response.status().is_success() && is_complete(response.headers())
}

/// Classifies any other answer to an [`append`]. After a temporary setback, the session is asked for its offset again:
/// appending can be repeated without harm.
pub async fn setback(response: Response) -> Setback {
    let status = response.status();
    let elsewhere = response.headers().contains_key(UPLOAD_OFFSET);
    match status {
        StatusCode::CONFLICT => {
            let failure = Failure::answered(response).await;
            let may_go_on =
                elsewhere || failure.code().is_some_and(|code| OF_THE_SESSION.contains(&code));
            if may_go_on {
                Setback::passing(failure.that_may_pass())
            } else {
                Setback::lasting(failure)
            }
        }
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::INTERNAL_SERVER_ERROR => {
            Setback::passing(Failure::answered(response).await.that_may_pass())
        }
        // All bytes arrived, but the file is not part of the draft yet.
        _ if status.is_success() => {
            let reason = "it does not report the upload as complete";
            Setback::passing(Failure::unreadable("answer", reason))
        }
        _ => Setback::answered(response).await,
    }
}

/// Frees what the server keeps for the session, without retries.
pub async fn cancel(connection: &Connection, id: &str) -> Result<(), Failure> {
    connection.delete_once(connection.api(&["uploads", id])?).await
}

fn standing(headers: &HeaderMap, size: u64) -> Result<Standing, Failure> {
    // If the server reports no length, ours counts. With another length it is the session of another file.
    if number(headers, UPLOAD_LENGTH).is_some_and(|length| length != size) {
        return Ok(Standing::Gone);
    }
    if is_complete(headers) {
        return Ok(Standing::Complete);
    }
    match number(headers, UPLOAD_OFFSET) {
        Some(offset) if offset <= size => Ok(Standing::At(offset)),
        _ => Err(Failure::unreadable("answer", "it has no valid Upload-Offset")),
    }
}

fn is_gone(response: &Response) -> bool {
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn is_complete(headers: &HeaderMap) -> bool {
    headers.get(UPLOAD_COMPLETE).is_some_and(|value| value.as_bytes() == b"?1")
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn standing_of(headers: &[(&'static str, &'static str)]) -> Option<Standing> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        standing(&headers.collect(), 100).ok()
    }

    #[test]
    fn the_offset_counts_until_the_upload_is_complete() {
        let under_way = [(UPLOAD_OFFSET, "42"), (UPLOAD_COMPLETE, "?0"), (UPLOAD_LENGTH, "100")];
        assert_eq!(standing_of(&under_way), Some(Standing::At(42)));
        let all_came = [(UPLOAD_OFFSET, "100"), (UPLOAD_COMPLETE, "?0")];
        assert_eq!(standing_of(&all_came), Some(Standing::At(100)), "still to be finished");
        let done = [(UPLOAD_OFFSET, "100"), (UPLOAD_COMPLETE, "?1"), (UPLOAD_LENGTH, "100")];
        assert_eq!(standing_of(&done), Some(Standing::Complete));
    }

    #[test]
    fn a_session_of_another_length_is_not_ours() {
        let other = [(UPLOAD_OFFSET, "42"), (UPLOAD_COMPLETE, "?0"), (UPLOAD_LENGTH, "99")];
        assert_eq!(standing_of(&other), Some(Standing::Gone));
    }

    #[test]
    fn an_answer_without_a_possible_offset_is_not_guessed_at() {
        assert_eq!(standing_of(&[(UPLOAD_COMPLETE, "?0")]), None);
        assert_eq!(standing_of(&[(UPLOAD_OFFSET, "101")]), None);
    }
}
