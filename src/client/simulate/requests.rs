//! The requests that simulated clients send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use url::Url;

use super::answer::Target;
use super::fleet::{Attempt, Client, Way};
use crate::client::credentials::Credentials;
use crate::client::error::Failure;

/// The body of a request: nothing, or a report.
pub type Body = Full<Bytes>;

/// The speed at which clients say that they fetched what they did not fetch, in bytes a second: 100 Mbit.
const PRETENDED_SPEED: f64 = 12_500_000.0;

/// The parts that all requests have in common.
#[derive(Debug)]
pub struct Requests {
    /// Path and query of a check, without the revision and the client: `/api/v1/update-check?image=…&channel=…`.
    check: String,
    /// Path of the clients: `/api/v1/clients/`.
    clients: String,
    image: String,
    channel: String,
    headers: HeaderMap,
}

impl Requests {
    /// Takes the address of an update check with image and channel, and the address of the clients.
    pub fn new(
        (check, clients): (&Url, &Url),
        (image, channel): (&str, &str),
        credentials: &Credentials,
    ) -> Result<Self, Failure> {
        let path = |url: &Url| match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut headers = HeaderMap::new();
        let host = check.host_str().unwrap_or_default();
        let host = check.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        headers.insert(HOST, header(&host)?);
        let agent = concat!("imagedepot-simulate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(authorization) = authorization(credentials)? {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(Self {
            check: path(check),
            clients: format!("{}/", path(clients)),
            image: image.to_owned(),
            channel: channel.to_owned(),
            headers,
        })
    }

    /// Returns the update check of a client that has `revision`.
    pub fn check(
        &self,
        client: Client,
        revision: u32,
        group: Option<&str>,
        way: Way,
    ) -> hyper::http::Result<Request<Body>> {
        let group = group.map(|group| format!("&group={group}")).unwrap_or_default();
        let path = format!("{}&revision={revision}&client={client}{group}", self.check);
        self.request(Request::get(path), way, Body::default())
    }

    /// Returns the report of a client on the end of an update.
    pub fn report(
        &self,
        client: Client,
        target: &Target,
        attempt: Attempt,
        way: Way,
    ) -> hyper::http::Result<Request<Body>> {
        let mut report = json!({
            "image": self.image, "channel": self.channel, "revision": target.revision,
        });
        match attempt {
            Attempt::Applied => {
                let bytes = target.bytes();
                report["status"] = json!("applied");
                report["bytes"] = json!(bytes);
                report["seconds"] = json!(seconds(bytes));
            }
            Attempt::Failed => {
                report["status"] = json!("failed");
                report["error"] = json!("a failure made up by imagedepot simulate");
            }
        }
        let path = format!("{}{client}/reports", self.clients);
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        self.request(request, way, Body::from(report.to_string()))
    }

    fn request(
        &self,
        mut request: hyper::http::request::Builder,
        way: Way,
        body: Body,
    ) -> hyper::http::Result<Request<Body>> {
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            if way != Way::Kept {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        request.body(body)
    }
}

/// Returns the time that fetching so many bytes would have taken, in seconds.
fn seconds(bytes: u64) -> f64 {
    let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    (f64::from(mebibytes) * f64::from(1 << 20) / PRETENDED_SPEED).round()
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Failure> {
    let text = match credentials {
        Credentials::Anonymous => return Ok(None),
        Credentials::Basic { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret())))
        }
        Credentials::Token(token) => format!("Bearer {}", token.expose_secret()),
    };
    let mut value = header(&text)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Makes the value of a header. The message does not repeat the text: it may be a secret.
fn header(text: &str) -> Result<HeaderValue, Failure> {
    let wrong = |_| {
        Failure::usage("the address or the credentials have characters that no header can have")
    };
    HeaderValue::from_str(text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::super::answer::TargetFile;
    use super::*;

    fn requests(server: &str) -> Requests {
        let server: Url = server.parse().unwrap();
        let mut check = server.join("api/v1/update-check").unwrap();
        check.query_pairs_mut().append_pair("image", "win7 office").append_pair("channel", "test");
        let clients = server.join("api/v1/clients").unwrap();
        let user = "alice".to_owned();
        let credentials = Credentials::Basic { user, password: "hunter2".into() };
        Requests::new((&check, &clients), ("win7 office", "test"), &credentials).unwrap()
    }

    #[test]
    fn a_check_names_client_revision_and_group() {
        let requests = requests("https://depot.example:8443/behind/");
        let asked = requests.check(Client(7), 11, Some("lab-b"), Way::Kept).unwrap();
        let path = "/behind/api/v1/update-check?image=win7+office&channel=test\
                    &revision=11&client=simulated-000007&group=lab-b";
        assert_eq!(asked.uri(), path);
        assert_eq!(asked.headers()[HOST], "depot.example:8443");
        assert_eq!(asked.headers()[AUTHORIZATION], "Basic YWxpY2U6aHVudGVyMg==");
        assert!(!format!("{requests:?}").contains("YWxp"), "a header that prints its secret");
        assert!(!asked.headers().contains_key(CONNECTION));
        let fresh = requests.check(Client(7), 0, None, Way::Fresh).unwrap();
        assert!(fresh.uri().query().unwrap().ends_with("&revision=0&client=simulated-000007"));
        assert_eq!(fresh.headers()[CONNECTION], "close");
    }

    #[tokio::test]
    async fn a_report_says_how_it_ended() {
        let requests = requests("http://depot.example/");
        let files = vec![TargetFile { size: 125 << 20 }];
        let target = Target { revision: 12, files };
        for (attempt, status) in [(Attempt::Applied, "applied"), (Attempt::Failed, "failed")] {
            let asked = requests.report(Client(7), &target, attempt, Way::Kept).unwrap();
            assert_eq!(asked.uri(), "/api/v1/clients/simulated-000007/reports");
            let body = asked.into_body().collect().await.unwrap().to_bytes();
            let report: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&report["status"], &report["revision"]), (&json!(status), &json!(12)));
            let applied = attempt == Attempt::Applied;
            assert_eq!(report["bytes"] == json!(125 << 20), applied);
            assert_eq!(report["seconds"] == json!(10.0), applied, "{report}");
            assert_eq!(report["error"].is_string(), !applied);
        }
    }
}
