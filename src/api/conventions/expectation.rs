//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the client holds back its body until the server asks for it.
//!
//! The framework would ask at once. Here the body is asked for only when a handler reads it, so that anything known
//! before (wrong credentials, a missing image, a full disk) is the answer instead. `server::connection` takes the
//! header out of the request's head, and sends `100 Continue` once the body is wanted.

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

/// The state of a connection whose client may hold back a body; part of the connection's data.
#[derive(Clone, Default)]
pub struct Expectation(Rc<Cell<State>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    /// The client holds back the body until it is asked for it.
    Expected,
    /// A handler wants to read the body.
    Wanted,
    /// No handler wanted the body: the response is the last one on its connection.
    Refused,
}

impl Expectation {
    /// Notes that a request arrived whose client holds back the body.
    pub fn begin(&self) {
        self.0.set(State::Expected);
    }

    /// Reports whether `100 Continue` has to be sent now.
    pub fn is_wanted(&self) -> bool {
        self.0.get() == State::Wanted
    }

    /// Notes that `100 Continue` was sent.
    pub fn sent(&self) {
        self.0.set(State::None);
    }

    fn want(&self) {
        if self.0.get() == State::Expected {
            self.0.set(State::Wanted);
        }
    }

    /// Ends the expectation, and reports whether the body was never asked for.
    fn end(&self) -> bool {
        let unasked = self.0.get() == State::Expected;
        if unasked {
            self.0.set(State::Refused);
        }
        unasked
    }

    /// Reports, once, whether the body was refused. Nothing that comes next on the connection is then read as a
    /// request.
    pub fn take_refusal(&self) -> bool {
        let refused = self.0.get() == State::Refused;
        if refused {
            self.0.set(State::None);
        }
        refused
    }
}

/// Reports whether a request's client holds back its body until it is asked for it.
pub fn is_pending(request: &HttpRequest) -> bool {
    request
        .conn_data::<Expectation>()
        .is_some_and(|expectation| expectation.0.get() == State::Expected)
}

/// Asks for the body when it is read. If it is not read, the connection is closed after the response: what comes next
/// on it could be either the body or another request.
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
    /// Set until the first read. What the connection expects later belongs to another request.
    asking: Option<Expectation>,
}

impl Stream for Asked {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(expectation) = self.asking.take() {
            expectation.want();
            // The connection reads before it polls handlers, and would not read again before bytes arrive.
            cx.waker().wake_by_ref();
        }
        self.body.poll_next_unpin(cx)
    }
}
