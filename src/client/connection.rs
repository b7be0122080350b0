//! The connection to one server: addresses, credentials, time-outs and retries.
//!
//! API calls go through [`Connection::get`], [`post`](Connection::post), [`put_once`](Connection::put_once) and their like,
//! which repeat a request if that is safe. File transfers have other needs (streams, ranges, hours); they build on
//! [`Connection::request`] and do their own retries.

use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_MATCH, LOCATION};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::bandwidth::Line;
use super::credentials::{Credentials, ServerArgs};
use super::error::{Failure, is_untrusted_certificate, is_without_tls};
use super::exit_code::Exit;
use super::retry::{Attempts, Patience, Setback};
use super::tls_files::TlsFiles;

/// The time limit of one API call, including the answer. Sealing and promoting transfer no bytes, so a minute is
/// plenty.
pub(super) const CALL: Duration = Duration::from_mins(1);
/// The largest accepted answer of the API, in bytes: several times the size of the server's largest page.
const LARGEST_ANSWER: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(10);
/// The time for which the system keeps sending to a peer that acknowledges nothing.
const DEAD_PEER: Duration = Duration::from_mins(1);
/// The longest time without a single byte after which a transfer counts as broken.
const STALL: Duration = Duration::from_mins(1);

/// One server, and the credentials that this client uses there.
#[derive(Debug, Clone)]
pub struct Connection {
    http: Client,
    server: Url,
    credentials: Credentials,
    pub(super) calls: Patience,
    pub(super) transfers: Patience,
    pub(super) stall: Duration,
    /// The line that transfers share.
    pub(super) line: Line,
}

/// Decides if a request may be sent again when it is unknown whether the first one arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The request is idempotent: a second one changes nothing more.
    Harmless,
    /// Repeats only if the first request certainly did nothing: there was no connection, or the server said "not now".
    IfUnsent,
}

impl Connection {
    /// Reads flags, environment and files, but sends nothing yet.
    pub fn open(args: &ServerArgs) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var_os(name);
        let server = args.address(&environment)?;
        let credentials = args.credentials(&environment)?;
        let http = http_client(&server, &args.tls_files(&environment)?)?;
        Ok(Self {
            http,
            server,
            credentials,
            calls: Patience::CALL,
            transfers: Patience::TRANSFER,
            stall: STALL,
            line: Line::default(),
        })
    }

    /// Opens a tree that anybody may serve. Credentials are for the depot's own server, and go to the tree only if that
    /// is where it is.
    pub fn to_tree(args: &ServerArgs, tree: &Url) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var_os(name);
        let is_ours = args.address(&environment)?.origin() == tree.origin();
        let credentials =
            if is_ours { args.credentials(&environment)? } else { Credentials::Anonymous };
        Ok(Self {
            http: http_client(tree, &args.tls_files(&environment)?)?,
            server: tree.clone(),
            credentials,
            calls: Patience::CALL,
            transfers: Patience::TRANSFER,
            stall: STALL,
            line: Line::default(),
        })
    }

    /// Returns a copy whose transfers take what this line allows.
    #[must_use]
    pub fn on_line(&self, line: Line) -> Self {
        Self { line, ..self.clone() }
    }

    /// Opens a tree for questions of others, who show their own credentials: neither those of the user nor the
    /// certificate of this machine go there.
    pub fn as_nobody(args: &ServerArgs, tree: &Url) -> Result<Self, Failure> {
        let mut files = args.tls_files(&|name: &str| std::env::var_os(name))?;
        files.client = None;
        Ok(Self {
            http: http_client(tree, &files)?,
            server: tree.clone(),
            credentials: Credentials::Anonymous,
            calls: Patience::CALL,
            transfers: Patience::TRANSFER,
            stall: STALL,
            line: Line::default(),
        })
    }

    /// Returns a copy that gives API calls the patience of transfers too, for calls that hours of work depend on.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { calls: self.transfers, ..self.clone() }
    }

    /// Returns the server's address in the form that users know: `https://depot.example`.
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Returns the address `/api/v1/…` with these segments, each escaped.
    pub fn api(&self, segments: &[&str]) -> Result<Url, Failure> {
        let mut url = self.server.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the server's address cannot be extended by a path"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(segments);
        // A URL drops segments that are dots, escaped or not, and would name something else.
        if let Some(dots) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Failure::usage(format!("`{dots}` is not a valid name")));
        }
        Ok(url)
    }

    /// Resolves an address from the server's answer, relative to the server's own address.
    pub fn resolve(&self, reference: &str) -> Result<Url, Failure> {
        self.server.join(reference).map_err(|error| Failure::unreadable("address of a file", error))
    }

    /// Builds a request, with our credentials if it goes to our server. They are not sent anywhere else, such as to an
    /// object store that a file's address points to.
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

    /// Returns the bytes of a file of at most `limit` bytes, past any cache on the way. Returns none if it is larger.
    pub async fn get_bytes(&self, url: Url, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let request = || self.request(Method::GET, url.clone()).header(CACHE_CONTROL, "no-cache");
        let mut response = self.send(Repeat::Harmless, request).await?;
        let (mut body, limit) = (Vec::new(), usize::try_from(limit).unwrap_or(usize::MAX));
        while let Some(piece) =
            response.chunk().await.map_err(|error| Failure::line(self.server(), &error))?
        {
            if body.len() + piece.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body))
    }

    /// Returns a resource with its tag, for a change that must not undo another one.
    pub async fn get_tagged<T: DeserializeOwned>(
        &self,
        url: Url,
    ) -> Result<(T, Option<HeaderValue>), Failure> {
        let response =
            self.send(Repeat::Harmless, || self.request(Method::GET, url.clone())).await?;
        let tag = response.headers().get(ETAG).cloned();
        Ok((self.read(response).await?, tag))
    }

    /// Sends a POST. Every repetition carries the same idempotency key, so the server acts only once.
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

    /// Sends a POST and returns the document of its answer.
    pub async fn post_for<T: DeserializeOwned>(
        &self,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failure> {
        let response = self.post(url, body).await?;
        self.read(response).await
    }

    /// Sends a PATCH. It sets a new state, so a second one changes nothing more.
    pub async fn patch(&self, url: Url, body: &impl Serialize) -> Result<Response, Failure> {
        self.send(Repeat::Harmless, || self.request(Method::PATCH, url.clone()).json(body)).await
    }

    /// Sends a PATCH and returns the changed resource. With a tag, the server refuses it (412) if the resource was
    /// changed since it had that tag; a second one would be refused for the change of the first.
    pub async fn patch_for<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
        tag: Option<&HeaderValue>,
    ) -> Result<T, Failure> {
        let repeat = if tag.is_some() { Repeat::IfUnsent } else { Repeat::Harmless };
        let request = || {
            let request = self.request(Method::PATCH, url.clone()).json(body);
            match tag {
                Some(tag) => request.header(IF_MATCH, tag.clone()),
                None => request,
            }
        };
        let response = self.send(repeat, request).await?;
        self.read(response).await
    }

    /// Sends a PUT that adds an entry to a history each time, such as a promotion. It is not sent again when its answer
    /// is lost.
    pub async fn put_once<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = || self.request(Method::PUT, url.clone()).json(body);
        let response = self.send(Repeat::IfUnsent, request).await?;
        self.read(response).await
    }

    /// Sends a DELETE. Returns the document of its answer, or none if it has none. It is not sent again when its answer
    /// is lost: the second one would not find what the first one has deleted.
    pub async fn delete(&self, url: Url) -> Result<Option<serde_json::Value>, Failure> {
        let request = || self.request(Method::DELETE, url.clone());
        let response = self.send(Repeat::IfUnsent, request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        self.read(response).await.map(Some)
    }

    /// Sends one DELETE without retries, for a clean-up that must not delay anything.
    pub async fn delete_once(&self, url: Url) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, url).timeout(CONNECT);
        let response =
            request.send().await.map_err(|error| Failure::line(self.server(), &error))?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::answered(response).await) }
    }

    /// Decides if a request whose connection broke may be tried again.
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
                            .with_hint("it is unknown if the server carried out the request"),
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
                let why = format!("it is larger than {LARGEST_ANSWER} bytes");
                return Err(Failure::unreadable("answer", why));
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|error| Failure::unreadable("answer", error))
    }
}

/// Returns the name of a newly created resource: the last segment of `Location`. The rest of that address is ignored,
/// since a proxy may have put another host into it.
pub fn name_in_location(response: &Response) -> Result<&str, Failure> {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    location
        .and_then(|location| location.trim_end_matches('/').rsplit('/').next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::unreadable("answer", "it has no Location of the new resource"))
}

/// Builds the HTTP client without an overall time-out and without `read_timeout`: the latter counts from the start of
/// the request, so it would cut every upload that takes longer. Transfers watch for a stall instead, and the system
/// detects a dead peer.
fn http_client(server: &Url, files: &TlsFiles) -> Result<Client, Failure> {
    let identity = files.identity()?;
    let plain = || {
        let builder = ClientBuilder::new()
            .user_agent(concat!("imagedepot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_keepalive(DEAD_PEER / 2)
            .tcp_user_timeout(DEAD_PEER);
        match &identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    };
    let built = match files.trusted()? {
        Some(trusted) => plain().tls_certs_only(trusted).build(),
        // A machine without any installed certificate authority, perhaps a container, can still speak HTTP.
        None if server.scheme() == "http" => {
            plain().build().or_else(|_| plain().tls_certs_only([]).build())
        }
        None => plain().build(),
    };
    built.map_err(|error| Failure::line(server.as_str(), &error))
}

fn idempotency_key() -> Result<HeaderValue, Failure> {
    let mut bytes = [0; 16];
    let no_randomness = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Other, format!("the system provides no random numbers: {error}"))
    };
    getrandom::fill(&mut bytes).map_err(|error| no_randomness(&error))?;
    HeaderValue::from_str(&hex::encode(bytes)).map_err(|error| no_randomness(&error))
}

#[cfg(test)]
mod tests;
