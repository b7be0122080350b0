//! Someone who uses the server over HTTP: anonymous, a user with a password, or the holder of a token.

use std::future::{Future, IntoFuture};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::Answer;

/// A caller with or without credentials.
#[derive(Clone)]
pub struct Person {
    base: String,
    credentials: Option<(String, String)>,
    token: Option<String>,
    http: reqwest::Client,
}

/// A request being put together; awaiting it sends it.
#[must_use = "a call is made by awaiting it"]
pub struct Call {
    request: reqwest::RequestBuilder,
    shown: String,
}

/// A client that neither goes through a proxy nor follows a redirect unseen.
pub fn http_client() -> reqwest::Client {
    client_settings().build().expect("an HTTP client")
}

fn client_settings() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_mins(2))
}

impl Person {
    pub fn new(base: &str, credentials: Option<(&str, &str)>) -> Self {
        Self {
            base: base.to_owned(),
            credentials: credentials.map(|(name, word)| (name.to_owned(), word.to_owned())),
            token: None,
            http: http_client(),
        }
    }

    /// Comes with `Authorization: Bearer`.
    pub fn with_token(base: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::new(base, None) }
    }

    /// The same, calling from another address of this machine.
    pub fn calling_from(mut self, address: &str) -> Self {
        let address = address.parse().expect("an address");
        self.http = client_settings().local_address(Some(address)).build().expect("an HTTP client");
        self
    }

    /// The same, by TLS: the server's certificate is to be one of the authority's in this file (PEM), and of no other's.
    pub fn trusting(mut self, authority: &Path) -> Self {
        let pem = std::fs::read(authority).expect("read the authority's certificate");
        let authority = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        self.http = client_settings().tls_certs_only([authority]).build().expect("an HTTP client");
        self
    }

    /// `name:password` as curl's `--user` takes it.
    pub fn name_and_password(&self) -> String {
        let (name, password) = self.credentials.as_ref().expect("not anonymous");
        format!("{name}:{password}")
    }

    pub fn get(&self, path: &str) -> Call {
        self.call(&Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call(&Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Call {
        self.call(&Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Call {
        self.call(&Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call(&Method::DELETE, path)
    }

    /// A request with any method; `path` starts with a slash and may carry a query.
    pub fn call(&self, method: &Method, path: &str) -> Call {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some((name, password)) = &self.credentials {
            request = request.basic_auth(name, Some(password));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request, shown: format!("{method} {path}") }
    }
}

impl Call {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(mut self, value: &Value) -> Self {
        self.request = self.request.json(value);
        self
    }

    pub fn body(mut self, bytes: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(bytes);
        self
    }

    /// The answer of a stream without end, as soon as its head is there. A refusal is read whole.
    pub async fn begun(self) -> Answer {
        let response = self.request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let refusal = if status < 400 {
            bytes::Bytes::new()
        } else {
            response.bytes().await.expect("a refusal")
        };
        Answer { status, headers, body: refusal, question: self.shown }
    }

    /// The response itself, whose body is read piece by piece.
    pub async fn response(self) -> reqwest::Response {
        self.request.send().await.expect("an answer")
    }

    /// The answer, or the reason why there is none: for servers that are killed meanwhile.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?;
        Ok(Answer { status, headers, body, question: self.shown })
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let shown = self.shown.clone();
            self.try_send().await.unwrap_or_else(|error| panic!("{shown}: {error:?}"))
        })
    }
}
