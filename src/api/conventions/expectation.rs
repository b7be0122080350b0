//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the client waits with its body until it is asked for it.
//!
//! The framework would ask at once. Here the body is asked for when a handler reads it, so that whatever is known before, such as
//! wrong credentials, a missing image or a full disk, is the answer instead. `server::connection` takes the header out of the
//! head, and sends `100 Continue` once it is wanted.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// What the client of a connection waits for; part of the connection's data.
#[derive(Clone, Default)]
pub struct Expectation(Rc<Cell<State>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    /// A body waits for being asked for.
    Expected,
    /// A handler wants it.
    Wanted,
    /// Nobody wants it: the answer is the last on its connection.
    Refused,
}

impl Expectation {
    /// A head came whose body waits.
    pub fn begin(&self) {
        self.0.set(State::Expected);
    }

    /// Whether `100 Continue` is to be sent now.
    pub fn is_wanted(&self) -> bool {
        self.0.get() == State::Wanted
    }

    /// It was sent.
    pub fn sent(&self) {
        self.0.set(State::None);
    }

    fn want(&self) {
        if self.0.get() == State::Expected {
            self.0.set(State::Wanted);
        }
    }

    /// Whether the body was never asked for; from now on nobody waits.
    fn end(&self) -> bool {
        let unasked = self.0.get() == State::Expected;
        if unasked {
            self.0.set(State::Refused);
        }
        unasked
    }

    /// Whether what comes next on the connection is nobody's; says so once.
    pub fn take_refusal(&self) -> bool {
        let refused = self.0.get() == State::Refused;
        if refused {
            self.0.set(State::None);
        }
        refused
    }
}

/// Whether a request's client waits until its body is asked for.
pub fn is_pending(request: &HttpRequest) -> bool {
    request
        .conn_data::<Expectation>()
        .is_some_and(|expectation| expectation.0.get() == State::Expected)
}

/// Has the body asked for when it is read. A connection whose body was not is closed behind the answer: what comes next on it could be
/// either the body or another request.
pub async fn ask_when_read<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let expectation = request.conn_data::<Expectation>().cloned();
    let Some(expectation) = expectation.filter(|given| given.0.get() == State::Expected) else {
        return next.call(request).await;
    };
    let asking = Some(expectation.clone());
    let body = Asked { body: request.take_payload(), asking };
    request.set_payload(Payload::Stream { payload: Box::pin(body) });
    let answered = next.call(request).await;
    let was_not_asked = expectation.end();
    let mut response = answered?;
    if was_not_asked {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

struct Asked {
    body: Payload,
    /// Until it was read from: what the connection expects later is another request's.
    asking: Option<Expectation>,
}

impl Stream for Asked {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(expectation) = self.asking.take() {
            expectation.want();
            // The connection reads before it polls handlers, and would not read again before bytes come.
            cx.waker().wake_by_ref();
        }
        self.body.poll_next_unpin(cx)
    }
}
