//! One request and its answer over a connection, by hyper.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::Reply;
use super::requests::Body;

/// The largest accepted answer, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;
/// The longest wait for the server to close a connection first.
const GOODBYE: Duration = Duration::from_secs(1);

/// The reason for which there was no answer, in words that are the same for each occurrence.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("no answer in time")]
    Late,
    #[error("the server closes new connections")]
    Closed,
    #[error("{0}")]
    Other(String),
}

/// An answer, the time at which it was complete, and the connection if it was for this request alone.
pub struct Answered {
    pub reply: Reply,
    pub at: Instant,
    pub line: Option<TcpStream>,
}

/// A request on a kept connection that failed.
pub enum Unanswered {
    /// The connection was closed meanwhile, and nothing was sent.
    Unsent(Box<Request<Body>>),
    Broken(Broken),
}

impl Broken {
    /// Makes the text of an error and its causes.
    pub fn new(step: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = step.to_owned();
        let mut cause = Some(error);
        while let Some(error) = cause {
            // Writing to a string never fails.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        Self::Other(text)
    }

    pub const fn is_late(&self) -> bool {
        matches!(self, Self::Late)
    }
}

impl Answered {
    /// Lets the server close the connection first, as it was asked to. The side that closes first keeps the port taken
    /// for a minute: a client with thousands of connections a second would run out of ports.
    pub async fn hang_up(self) {
        let Some(mut line) = self.line else { return };
        let mut rest = [0; 512];
        let until_closed = async { while matches!(line.read(&mut rest).await, Ok(1..)) {} };
        let _too_late = timeout(GOODBYE, until_closed).await;
    }
}

/// Opens HTTP on a connection that is kept, and has a task drive it.
pub async fn keep<T>(stream: T) -> Result<SendRequest<Body>, Broken>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = opened.map_err(|error| Broken::new("no HTTP", &error))?;
    // Its errors come back with the requests.
    tokio::spawn(async move {
        let _told = connection.await;
    });
    Ok(sender)
}

/// Sends one request over a connection of its own. `bare` takes the encryption away from it.
pub async fn ask_once<T>(
    stream: T,
    request: Request<Body>,
    bare: impl FnOnce(T) -> TcpStream,
) -> Result<Answered, Broken>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| Broken::new("no HTTP", &error))?;
    // The connection ends once the sender is gone.
    let asked = async move { send(&mut sender, request).await };
    let (answered, ended) = futures_util::join!(asked, connection.without_shutdown());
    match answered {
        Ok(mut answered) => {
            answered.line = ended.ok().map(|parts| bare(parts.io.into_inner()));
            Ok(answered)
        }
        Err(Unanswered::Unsent(_)) => Err(Broken::Closed),
        Err(Unanswered::Broken(broken)) => Err(broken),
    }
}

/// Sends a request over a connection that stays, and reads the whole answer.
pub async fn send(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> Result<Answered, Unanswered> {
    if sender.ready().await.is_err() {
        return Err(Unanswered::Unsent(Box::new(request)));
    }
    let broken = |error: &(dyn std::error::Error + 'static)| {
        Unanswered::Broken(Broken::new("broken connection", error))
    };
    let response =
        sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => Unanswered::Unsent(Box::new(request)),
            None => broken(error.error()),
        })?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| broken(&*error))?.to_bytes();
    let reply = Reply { status: head.status, headers: head.headers, body };
    Ok(Answered { reply, at: Instant::now(), line: None })
}
