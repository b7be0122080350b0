//! The line to one server: addresses, credentials, time-outs, and trying again.
//!
//! Calls of the API go through [`Connection::get`], [`post`](Connection::post) and
//! [`put_once`](Connection::put_once), which repeat what may be repeated. Transfers of files have other needs
//! (streams, ranges, hours); they build on [`Connection::request`] and do their own repeating.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Response};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::credentials::{Credentials, ServerArgs};
use super::error::{Failure, is_untrusted_certificate, is_without_tls};
use super::exit_code::Exit;
use super::retry::{Attempts, Patience, Setback};
use crate::model::pem;

/// A call of the API, answer included. Sealing and promoting move no bytes: a minute is plenty.
pub(super) const CALL: Duration = Duration::from_mins(1);
/// What an answer of the API may have, in bytes: several times what a server's pages end at.
const LARGEST_ANSWER: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// How long the system keeps sending to a machine that acknowledges nothing.
const DEAD_PEER: Duration = Duration::from_mins(1);
/// How long a download may bring no byte at all before it counts as broken.
const STALL: Duration = Duration::from_mins(1);

/// One server and who we are to it.
#[derive(Debug, Clone)]
pub struct Connection {
    http: Client,
    server: Url,
    credentials: Credentials,
    pub(super) calls: Patience,
    pub(super) transfers: Patience,
    pub(super) stall: Duration,
}

/// Whether a request may be sent again when nobody knows if the first one arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// A second one changes nothing more.
    Harmless,
    /// Only when the first one surely did nothing: no connection, or the server said "not now".
    IfUnsent,
}

impl Connection {
    /// Reads flags, environment and files; sends nothing yet.
    pub fn open(args: &ServerArgs) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var_os(name);
        let server = args.address(&environment)?;
        let credentials = args.credentials(&environment)?;
        let http = http_client(&server, args.ca.as_deref())?;
        Ok(Self {
            http,
            server,
            credentials,
            calls: Patience::CALL,
            transfers: Patience::TRANSFER,
            stall: STALL,
        })
    }

    /// The same with a transfer's patience for calls too: for those that hours of work hang on.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { calls: self.transfers, ..self.clone() }
    }

    /// The server as a person knows it: `https://depot.example`.
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// `/api/v1/…` of these segments, each escaped.
    pub fn api(&self, segments: &[&str]) -> Result<Url, Failure> {
        let mut url = self.server.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the server's address cannot have paths"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(segments);
        // A URL swallows segments that are dots, escaped or not, and would name something else.
        if let Some(dots) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Failure::usage(format!("`{dots}` cannot be a name")));
        }
        Ok(url)
    }

    /// An address that the server named, relative to itself.
    pub fn resolve(&self, reference: &str) -> Result<Url, Failure> {
        self.server.join(reference).map_err(|error| Failure::unreadable("address of a file", error))
    }

    /// A request with our credentials, if it goes to our server. Elsewhere (an object store that
    /// a file's address points to) they are nobody's business.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let ours = url.origin() == self.server.origin();
        let request = self.http.request(method, url);
        match &self.credentials {
            Credentials::Basic { user, password } if ours => {
                request.basic_auth(user, Some(password.expose_secret()))
            }
            Credentials::Token(token) if ours => request.bearer_auth(token.expose_secret()),
            _ => request,
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, Failure> {
        let response =
            self.send(Repeat::Harmless, || self.request(Method::GET, url.clone())).await?;
        self.read(response).await
    }

    /// The same key goes with every repetition, so the server acts once whatever happens on the way.
    pub async fn post(
        &self,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, Failure> {
        let key = idempotency_key()?;
        self.send(Repeat::Harmless, || {
            let request =
                self.request(Method::POST, url.clone()).header("Idempotency-Key", key.clone());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        })
        .await
    }

    /// A change that says what shall be (PATCH): a second one changes nothing more.
    pub async fn patch(&self, url: Url, body: &impl Serialize) -> Result<Response, Failure> {
        self.send(Repeat::Harmless, || self.request(Method::PATCH, url.clone()).json(body)).await
    }

    /// A PUT that leaves a trace in some history each time, such as a promotion: not sent again
    /// when its answer was lost.
    pub async fn put_once<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = || self.request(Method::PUT, url.clone()).json(body);
        let response = self.send(Repeat::IfUnsent, request).await?;
        self.read(response).await
    }

    /// One try, for clean-up that nobody should wait for.
    pub async fn delete_once(&self, url: Url) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, url).timeout(CONNECT);
        let response =
            request.send().await.map_err(|error| Failure::line(self.server(), &error))?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::answered(response).await) }
    }

    /// What a broken line means for a request that may be repeated.
    pub fn broken(&self, error: &reqwest::Error) -> Setback {
        let failure = Failure::line(self.server(), error);
        let is_for_good = is_untrusted_certificate(error) || is_without_tls(error);
        if is_for_good || error.is_builder() || error.is_redirect() {
            Setback::lasting(failure)
        } else {
            Setback::passing(failure)
        }
    }

    async fn send(
        &self,
        repeat: Repeat,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let mut attempts = Attempts::new(self.calls);
        loop {
            let setback = match request().timeout(CALL).send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => Setback::answered(response).await,
                Err(error) if repeat == Repeat::IfUnsent && !error.is_connect() => {
                    Setback::lasting(
                        Failure::line(self.server(), &error)
                            .with_hint("whether the server still did it is unknown"),
                    )
                }
                Err(error) => self.broken(&error),
            };
            attempts.next(setback).await?;
        }
    }

    async fn read<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, Failure> {
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| Failure::line(self.server(), &error))?
        {
            if body.len() + piece.len() > LARGEST_ANSWER {
                let why = format!("it has more than {LARGEST_ANSWER} bytes");
                return Err(Failure::unreadable("answer", why));
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|error| Failure::unreadable("answer", error))
    }
}

/// What the answer to a creation calls the new thing: the last segment of `Location`. No more of that
/// address counts, as a proxy may have given it another host.
pub fn name_in_location(response: &Response) -> Result<&str, Failure> {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    location
        .and_then(|location| location.trim_end_matches('/').rsplit('/').next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::unreadable("answer", "it does not say where the new thing is"))
}

/// No overall time-out and no `read_timeout`: the latter counts from the start of the request, so it
/// would cut every upload that takes longer. Transfers watch for a stall instead, and the system
/// for a peer that is gone.
fn http_client(server: &Url, ca: Option<&Path>) -> Result<Client, Failure> {
    let plain = || {
        ClientBuilder::new()
            .user_agent(concat!("imagedepot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_keepalive(DEAD_PEER / 2)
            .tcp_user_timeout(DEAD_PEER)
    };
    let built = match ca {
        Some(path) => plain().tls_certs_only(authorities(path)?).build(),
        // A machine without any authority installed, a container perhaps, can still speak HTTP.
        None if server.scheme() == "http" => {
            plain().build().or_else(|_| plain().tls_certs_only([]).build())
        }
        None => plain().build(),
    };
    built.map_err(|error| Failure::line(server.as_str(), &error))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::local("read", path, &error))?;
    let wrong = |why: &str| {
        Failure::usage(format!(
            "{} has no certificates in PEM that can be used: {why}",
            path.display()
        ))
    };
    let mut certificates = Vec::new();
    for (line, der) in pem::certificates(&bytes).map_err(|error| wrong(&error.to_string()))? {
        let certificate = Certificate::from_der(&der);
        certificates.push(certificate.map_err(|error| wrong(&format!("line {line}: {error}")))?);
    }
    if certificates.is_empty() { Err(wrong("no `BEGIN CERTIFICATE`")) } else { Ok(certificates) }
}

fn idempotency_key() -> Result<HeaderValue, Failure> {
    let mut bytes = [0; 16];
    let no_randomness = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Other, format!("this system gives no random numbers: {error}"))
    };
    getrandom::fill(&mut bytes).map_err(|error| no_randomness(&error))?;
    HeaderValue::from_str(&hex::encode(bytes)).map_err(|error| no_randomness(&error))
}

#[cfg(test)]
mod tests;
