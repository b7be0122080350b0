//! `BITS_POST` on the tree: uploads by the MED-V console and by any Windows machine.
//!
//! One handler answers all packets. It makes its checks in the order that the protocol specifies (section 3.2.5 of
//! MC-BUP). Every answer is an Ack without a body, even where other parts of the API send problem documents; `refusal`
//! converts problems to Acks.

mod refusal;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::conventions::caller::Caller;
use super::conventions::problem::Problem;
use super::depot::Depot;
use super::uploads::body::{Body, take_in};
use crate::access::permission::Publish;
use crate::catalog::Actor;
use crate::catalog::bits_upload::Destination;
use crate::catalog::upload::Appending;
use crate::model::BitsSession;
use crate::wire::bits::{Ack, FragmentRange, Packet, SessionId};
use refusal::Refusal;

/// Answers a packet of any type.
pub async fn post(
    caller: Result<Caller<Publish>, Problem>,
    depot: Data<Depot>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let known = caller.is_ok();
    let mut body = Some(Body::new(&request, payload));
    let ack = match answer(caller, &depot, &request, &mut body).await {
        Ok(ack) => ack,
        Err(refusal) => {
            tracing::debug!(path = request.path(), "a BITS packet was refused: {refusal}");
            refusal.into_ack()
        }
    };
    if let Some(unread) = body {
        let patience = if known { DISCARDED_WITHIN } else { DISCARDED_FOR_STRANGERS_WITHIN };
        discard(unread, patience).await;
    }
    let mut response = HttpResponse::build(ack.status);
    for field in ack.fields {
        response.insert_header(field);
    }
    response.finish()
}

async fn answer(
    caller: Result<Caller<Publish>, Problem>,
    depot: &Depot,
    request: &HttpRequest,
    body: &mut Option<Body>,
) -> Result<Ack, Refusal> {
    let caller = recognised(caller)?;
    let packet = Packet::read(request.headers())?;
    let destination =
        depot.catalog.bits_destination(below_the_root(request, &depot.links.alias))?;
    let caller = caller?;
    caller.may_create(&destination.image)?;
    packet.check_length(request.headers())?;
    let visit = Visit { depot, actor: caller.actor(), destination };
    match packet {
        Packet::Ping => Ok(Ack::ok()),
        Packet::CreateSession => visit.create_session().await,
        Packet::Fragment { session, range } => visit.fragment(session, range, body).await,
        Packet::CloseSession { session } => visit.close_session(session).await,
        Packet::CancelSession { session } => visit.cancel_session(session).await,
    }
}

/// Sorts the refusals of a caller. A caller who is not recognised is asked for credentials before anything else (the
/// outer error); a caller who lacks the right is told so only once the packet has proved to be one (the inner error).
fn recognised(
    caller: Result<Caller<Publish>, Problem>,
) -> Result<Result<Caller<Publish>, Problem>, Problem> {
    match caller {
        Err(problem) if problem.status() != StatusCode::FORBIDDEN => Err(problem),
        caller => Ok(caller),
    }
}

/// Returns the path behind `/MEDVImages/` exactly as it was sent; the catalog refuses encoded characters in it. The
/// request target may also be in absolute form.
fn below_the_root<'a>(request: &'a HttpRequest, alias: &str) -> &'a str {
    let path = request.uri().path().strip_prefix('/');
    path.and_then(|path| path.strip_prefix(alias))
        .and_then(|path| path.strip_prefix('/'))
        .unwrap_or_default()
}

/// A packet whose sender may upload to its destination.
struct Visit<'a> {
    depot: &'a Depot,
    actor: Actor,
    destination: Destination,
}

impl Visit<'_> {
    async fn create_session(&self) -> Result<Ack, Refusal> {
        let catalog = &self.depot.catalog;
        let session = catalog.open_bits_session(&self.actor, &self.destination).await?;
        Ok(Ack::created(session.id))
    }

    async fn fragment(
        &self,
        session: SessionId,
        range: FragmentRange,
        body: &mut Option<Body>,
    ) -> Result<Ack, Refusal> {
        let catalog = &self.depot.catalog;
        let session = self.session(session).await?;
        let limit = catalog.rules().bits.max_fragment;
        if limit > 0 && range.length > limit {
            return Err(Refusal::large_fragment(limit));
        }
        match self.taken(&session, range, body).await {
            Ok(next) => Ok(Ack::received(session.id, next)),
            // The server may see the later of two requests first. The sender of a repeat is told where to continue, and
            // not to come back in ten minutes.
            Err(refusal) if refusal.is_overtaken() => {
                let upload = catalog.upload(&self.actor, session.id).await?;
                Ok(Ack::out_of_order(session.id, upload.received))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Takes in a fragment, and returns the offset at which the next one has to begin.
    async fn taken(
        &self,
        session: &BitsSession,
        range: FragmentRange,
        body: &mut Option<Body>,
    ) -> Result<u64, Refusal> {
        let opening = self.depot.catalog.take_fragment(&self.actor, session, range);
        let unread = body.as_mut().ok_or_else(Problem::internal)?;
        let taken = unread.while_opening(opening).await;
        match taken.map_err(|error| Refusal::of_fragment(session, error))? {
            None => Ok(range.total),
            Some(appending) => {
                let body = body.take().ok_or_else(Problem::internal)?;
                self.take_bytes(session, range, appending, body).await
            }
        }
    }

    async fn take_bytes(
        &self,
        session: &BitsSession,
        range: FragmentRange,
        appending: Appending,
        body: Body,
    ) -> Result<u64, Refusal> {
        let offset = appending.upload().map_or(range.first, |upload| upload.received);
        let upload = take_in(appending, body, offset - range.first).await?;
        self.depot.catalog.fragment_taken(&self.actor, session, &upload).await?;
        Ok(upload.received)
    }

    async fn close_session(&self, session: SessionId) -> Result<Ack, Refusal> {
        let session = self.session(session).await?;
        self.depot.catalog.close_bits_session(&self.actor, &session).await?;
        Ok(Ack::ok().of_session(session.id))
    }

    async fn cancel_session(&self, session: SessionId) -> Result<Ack, Refusal> {
        let session = self.session(session).await?;
        self.depot.catalog.cancel_bits_session(&self.actor, &session).await?;
        Ok(Ack::ok().of_session(session.id))
    }

    async fn session(&self, id: SessionId) -> Result<BitsSession, Refusal> {
        match id {
            SessionId::Guid(id) => {
                Ok(self.depot.catalog.bits_session(&self.actor, &self.destination, id).await?)
            }
            SessionId::Foreign => Err(Refusal::session_not_found()),
        }
    }
}

/// The number of bytes that are read of a refused body: more than BITS sends in one fragment.
const MOST_DISCARDED: usize = 64 * 1024 * 1024;
/// The time that a BITS client waits for an answer.
const DISCARDED_WITHIN: Duration = Duration::from_mins(5);
/// The limit for callers without credentials: they send only a few bytes, and must not hold a connection for long.
const DISCARDED_FOR_STRANGERS_WITHIN: Duration = Duration::from_secs(10);

/// Reads the rest of a refused body. The framework gives a client one second to send the rest and then closes the
/// connection. On a slow connection the answer would be lost as well, and a client whose last answer was lost would
/// send the same fragment for ever.
async fn discard(mut body: Body, within: Duration) {
    let mut discarded = 0;
    let rest = async {
        while let Some(Ok(bytes)) = body.next().await {
            discarded += bytes.len();
            if discarded > MOST_DISCARDED {
                return;
            }
        }
    };
    if tokio::time::timeout(within, rest).await.is_err() {
        tracing::debug!("a refused body took too long to read");
    }
}
