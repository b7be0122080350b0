//! `/events`: what happens, as a stream of server-sent events (the HTML standard, section 9.2).
//!
//! `stream` is the body, `reader` says who may read what, and `open_streams` counts.

pub mod open_streams;
mod reader;
mod stream;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Deserialize;
use utoipa::IntoParams;

use super::conventions::caller::Caller;
use super::conventions::problem::{Code, InvalidQuery, Problem, ReadRefusals};
use super::depot::Depot;
use crate::access::permission::Read;
use crate::model::EventTypes;
use reader::Reader;
use stream::Position;

/// The path of the stream.
pub const PATH: &str = "/api/v1/events";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells nginx not to hold the events back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The query parameters of a stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The types of events, with commas: words such as `image.created`, or whole nouns such as `channel.*`. All that the
    /// caller may see if left out.
    #[serde(default)]
    #[param(example = "channel.*,image.created")]
    types: Option<String>,
}

impl EventsQuery {
    fn types(&self) -> Result<EventTypes, Problem> {
        let words = self.types.iter().flat_map(|types| types.split(',')).map(str::trim);
        EventTypes::read(words)
            .map_err(|error| Problem::new(Code::BadQuery, format!("types: {error}")))
    }
}

/// Follow events
///
/// Sends events as they happen, as server-sent events: `id`, `event` (the type) and `data`, a JSON object
/// `{"id","type","time","actor","subject","image","channel","revision","data"}`. Callers with the role `reader` get the
/// events of images, revisions and channels that they may know of; administrators get all. With `Last-Event-ID`, the
/// stream goes on after that event. If events after it are not kept any more, the first message is `reset`: read again
/// what you need, and go on from there. The stream ends when the server stops or the caller's credentials are no longer
/// accepted; readers connect again.
#[utoipa::path(tag = "maintenance", operation_id = "follow_events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read")),
    responses(
        (status = 200, description = "The events, without end", body = String, content_type = "text/event-stream"),
        InvalidQuery, ReadRefusals
    )
)]
#[get("/events")]
pub async fn follow(
    caller: Caller<Read>,
    depot: Data<Depot>,
    query: Query<EventsQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let types = query.types()?;
    let position = Position::read(last_event_id(request.headers()));
    let reader = Reader::new(&caller, &depot, &request, types)?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((ACCEL_BUFFERING, HeaderValue::from_static("no")));
    Ok(match depot.event_streams.enter(caller.identity().name()) {
        Some(place) => response.streaming(stream::of(depot.into_inner(), reader, position, place)),
        None => response.body(stream::TOO_MANY),
    })
}

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(LAST_EVENT_ID)?;
    // A text that cannot be read names nothing that there is.
    Some(value.to_str().unwrap_or("?")).filter(|text| !text.is_empty())
}
