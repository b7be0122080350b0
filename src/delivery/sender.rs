//! One call of a receiver: its request, its limits and its outcome.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::{Host, Url};

use super::address::{Scheme, may_be_called};
use super::lookup::{CheckedLookup, Refused, Source, by_the_system};
use super::signature::sign;
use crate::catalog::webhooks::queue::Attempt;
use crate::catalog::{Catalog, Result};
use crate::model::Webhook;
use crate::model::program::VERSION;

/// The time for a whole call, from the look-up of the name to the end of the answer.
const WITHIN: Duration = Duration::from_secs(10);

/// The number of bytes that are read of an answer.
const LARGEST_ANSWER: usize = 64 << 10;

/// Sends events to receivers. It is cheap to clone.
#[derive(Clone)]
pub struct Sender {
    catalog: Catalog,
    https: Client,
    http: Client,
}

/// What is sent.
pub struct Message<'a> {
    /// The id, which is the same in each attempt.
    pub id: &'a str,
    pub body: &'a str,
}

impl Sender {
    pub fn new(catalog: Catalog) -> Result<Self, reqwest::Error> {
        Self::with_source(catalog, by_the_system)
    }

    fn with_source(catalog: Catalog, source: Source) -> Result<Self, reqwest::Error> {
        let client = |scheme| {
            Client::builder()
                .dns_resolver(Arc::new(CheckedLookup { catalog: catalog.clone(), scheme, source }))
                // A redirect would lead to an address that nobody has named.
                .redirect(Policy::none())
                .no_proxy()
                // A connection that is kept would skip the look-up.
                .pool_max_idle_per_host(0)
                .timeout(WITHIN)
                .user_agent(format!("imagedepot/{VERSION}"))
                .build()
        };
        Ok(Self { https: client(Scheme::Https)?, http: client(Scheme::Http)?, catalog })
    }

    /// Sends a message to a webhook, and returns what came of it.
    pub async fn send(&self, webhook: &Webhook, message: Message<'_>) -> Result<Attempt> {
        let secrets = self.catalog.webhook_secrets(webhook.id).await?;
        let timestamp = self.catalog.clock().now().timestamp();
        let signature = sign(&secrets, message.id, timestamp, message.body);
        let client = match self.client_for(&webhook.url) {
            Ok(client) => client,
            Err(why) => return Ok(Attempt { status: None, error: Some(why) }),
        };
        let request = client
            .post(&webhook.url)
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.to_owned());
        Ok(match request.send().await {
            Ok(answer) => of_answer(answer).await,
            Err(error) => Attempt { status: None, error: Some(described(&error)) },
        })
    }

    /// Returns the client for a URL. An address in place of a name is not looked up, so it is checked here.
    fn client_for(&self, url: &str) -> Result<&Client, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let (scheme, client) = match url.scheme() {
            "https" => (Scheme::Https, &self.https),
            _ => (Scheme::Http, &self.http),
        };
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        let allow = &self.catalog.rules().webhooks.allow;
        match address.filter(|address| !may_be_called(*address, scheme, allow)) {
            Some(_) => Err(Refused(scheme).to_string()),
            None => Ok(client),
        }
    }
}

async fn of_answer(mut answer: Response) -> Attempt {
    let status = answer.status();
    let mut read = 0;
    // The status decides. The rest is read so that its sender is not cut off, as far as it is short and comes in time.
    while read < LARGEST_ANSWER
        && let Ok(Some(piece)) = answer.chunk().await
    {
        read += piece.len();
    }
    let error = (!status.is_success()).then(|| refusal(status));
    Attempt { status: Some(status.as_u16()), error }
}

fn refusal(status: StatusCode) -> String {
    if status.is_redirection() {
        format!("the receiver answered {status}, and redirects are not followed")
    } else {
        format!("the receiver answered {status}")
    }
}

/// Describes an error with its causes, without the URL, whose path may be a secret.
fn described(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("there was no answer within {} seconds", WITHIN.as_secs());
    }
    let mut text = "the receiver could not be reached".to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
