//! Observes every request: gives it an id, writes its line in the access log, and counts it in the metrics.
//!
//! This is one middleware around everything else. The id is the caller's `X-Request-Id` if that has only plain
//! characters, otherwise a new one. Problem documents and audit rows carry it.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, web};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::access_log::{AccessLog, Line};
use super::metrics;
use crate::access::{Origin, TrustedProxies};
use crate::model::{Clock, Ids};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// Returns the id of the request that is being answered, or none outside of a request.
pub fn current_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does work under an id that belongs to no request of the application.
pub fn with_current_id<T>(id: &str, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(id.to_owned(), work)
}

/// Does work that outlives its request under the request's id.
pub async fn with_id<F: Future>(id: Option<String>, work: F) -> F::Output {
    CURRENT.scope(id.unwrap_or_default(), work).await
}

/// The authenticated caller's name, put into the request's extensions for the access log.
#[derive(Clone)]
pub struct CallerName(pub String);

/// The requests of one connection that are being answered; part of the connection's data.
#[derive(Debug, Clone, Default)]
pub struct RequestsInProgress(Rc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    open: Cell<usize>,
    begun: Cell<u64>,
}

impl RequestsInProgress {
    pub fn any(&self) -> bool {
        self.0.open.get() > 0
    }

    /// Returns how many requests of the connection have reached the application so far.
    pub fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    fn begin(&self) -> Answering {
        self.0.open.set(self.0.open.get() + 1);
        self.0.begun.set(self.0.begun.get() + 1);
        Answering(self.clone())
    }
}

/// One request in progress, until it is dropped.
struct Answering(RequestsInProgress);

impl Drop for Answering {
    fn drop(&mut self) {
        let open = &self.0.0.open;
        open.set(open.get() - 1);
    }
}

/// The tools of the middleware, shared by all workers.
#[derive(Clone)]
pub struct Observer {
    pub access_log: Option<AccessLog>,
    pub clock: Clock,
    pub ids: Ids,
    /// The proxies that are believed about the client's address.
    pub proxies: TrustedProxies,
}

/// A request whose head could not be read. Only its first line is known, as far as that arrived.
pub struct RefusedHead<'a> {
    pub server: SocketAddr,
    pub client: IpAddr,
    pub method: &'a str,
    pub target: &'a str,
    pub status: u16,
    pub id: &'a str,
}

impl Observer {
    /// Writes a line to the access log for a request that the application never saw.
    pub fn refused(&self, head: &RefusedHead<'_>) {
        let Some(log) = &self.access_log else { return };
        let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
        log.write(&Line {
            at: self.clock.now(),
            server: Some(head.server),
            method: head.method,
            path,
            query,
            user: None,
            client: Some(head.client),
            agent: None,
            status: head.status,
            is_whole: true,
            sent: 0,
            received: 0,
            milliseconds: 0,
            request_id: head.id,
        });
    }
}

/// Observes a request until its body is sent.
pub async fn observe<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Observed<B>>, Error> {
    let observer = request.app_data::<web::Data<Observer>>().cloned();
    let id = given_id(request.headers())
        .unwrap_or_else(|| observer.as_ref().map(new_id).unwrap_or_default());
    let started = Instant::now();
    let origin = observer.as_ref().and_then(|observer| origin_by_proxy(observer, &request));
    if let Some(origin) = origin {
        request.extensions_mut().insert(origin);
    }
    let answering = request.conn_data::<RequestsInProgress>().map(RequestsInProgress::begin);
    let record = observer
        .filter(|observer| observer.access_log.is_some())
        .map(|observer| Box::new(Record::begin(&request, observer, origin, &id)));
    let mut response = CURRENT.scope(id.clone(), next.call(request)).await?;
    if let Ok(value) = HeaderValue::try_from(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    metrics::request_answered(response.request(), status, started.elapsed());
    let record = record.map(|mut record| {
        record.status = status;
        record.user =
            response.request().extensions().get::<CallerName>().map(|caller| caller.0.clone());
        record
    });
    // Before HTTP/1.1 only the end of the connection marks the end of a body whose length was not known.
    if response.request().version() < Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map_body(|_, body| {
        let size = body.size();
        let is_over = matches!(size, BodySize::None | BodySize::Sized(0));
        Observed { body, size, sent: 0, is_over, started, record, answering }
    }))
}

fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    ((1..=64).contains(&id.len()) && id.chars().all(plain)).then(|| id.to_owned())
}

/// Returns the origin of the request, if a trusted proxy reports it.
fn origin_by_proxy(observer: &Observer, request: &ServiceRequest) -> Option<Origin> {
    observer.proxies.origin(request.peer_addr()?.ip(), request.headers())
}

fn new_id(observer: &web::Data<Observer>) -> String {
    observer.ids.next().simple().to_string()
}

/// The data for the access log that the response no longer has.
struct Record {
    observer: web::Data<Observer>,
    at: DateTime<Utc>,
    server: Option<SocketAddr>,
    client: Option<IpAddr>,
    method: Method,
    path: String,
    query: String,
    agent: Option<String>,
    user: Option<String>,
    received: u64,
    status: u16,
    request_id: String,
}

impl Record {
    fn begin(
        request: &ServiceRequest,
        observer: web::Data<Observer>,
        origin: Option<Origin>,
        id: &str,
    ) -> Self {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        Self {
            at: observer.clock.now(),
            observer,
            server: Some(request.app_config().local_addr()),
            client: origin
                .map(|origin| origin.address)
                .or_else(|| request.peer_addr().map(|address| address.ip().to_canonical())),
            method: request.method().clone(),
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            agent: text(header::USER_AGENT).map(str::to_owned),
            user: None,
            received: text(header::CONTENT_LENGTH)
                .and_then(|length| length.parse().ok())
                .unwrap_or(0),
            status: 0,
            request_id: id.to_owned(),
        }
    }

    fn write(&self, sent: u64, is_whole: bool, started: Instant) {
        let Some(log) = &self.observer.access_log else { return };
        log.write(&Line {
            at: self.at,
            server: self.server,
            method: self.method.as_str(),
            path: &self.path,
            query: &self.query,
            user: self.user.as_deref(),
            client: self.client,
            agent: self.agent.as_deref(),
            status: self.status,
            // The answer to HEAD has no body.
            is_whole: is_whole || self.method == Method::HEAD,
            sent,
            received: self.received,
            milliseconds: started.elapsed().as_millis(),
            request_id: &self.request_id,
        });
    }
}

pin_project_lite::pin_project! {
    /// A body whose bytes are counted as they are sent. The record is written when the body ends or the client
    /// disconnects.
    pub struct Observed<B> {
        #[pin]
        body: B,
        size: BodySize,
        sent: u64,
        // Set once the whole body was handed over.
        is_over: bool,
        started: Instant,
        record: Option<Box<Record>>,
        answering: Option<Answering>,
    }

    impl<B> PinnedDrop for Observed<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            metrics::bytes_sent(*this.sent);
            if let Some(record) = this.record.take() {
                record.write(*this.sent, *this.is_over, *this.started);
            }
        }
    }
}

impl<B: MessageBody> MessageBody for Observed<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let polled = this.body.poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                *this.sent += bytes.len() as u64;
                *this.is_over = *this.size == BodySize::Sized(*this.sent);
            }
            Poll::Ready(None) => *this.is_over = true,
            _ => {}
        }
        polled
    }
}
