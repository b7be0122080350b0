//! One call of a receiver: its request, its limits and its outcome.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use tokio::sync::OnceCell;
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
pub struct Sender(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    source: Source,
    /// Made for the first delivery: most depots have no webhooks, and a client reads all authorities of the system.
    clients: OnceCell<Clients>,
}

struct Clients {
    https: Client,
    http: Client,
}

/// A message to a receiver.
pub struct Message<'a> {
    /// The id, which is the same in each attempt.
    pub id: &'a str,
    pub body: &'a str,
}

impl Sender {
    pub fn new(catalog: Catalog) -> Self {
        Self::with_source(catalog, by_the_system)
    }

    fn with_source(catalog: Catalog, source: Source) -> Self {
        Self(Arc::new(Inner { catalog, source, clients: OnceCell::new() }))
    }

    /// Sends a message to a webhook, and returns what came of it.
    pub async fn send(&self, webhook: &Webhook, message: Message<'_>) -> Result<Attempt> {
        let secrets = self.0.catalog.webhook_secrets(webhook.id).await?;
        let timestamp = self.0.catalog.clock().now().timestamp();
        let signature = sign(&secrets, message.id, timestamp, message.body);
        let client = match self.client_for(&webhook.url).await {
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
    async fn client_for(&self, url: &str) -> Result<&Client, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let clients = self.0.clients.get_or_try_init(async || self.0.new_clients());
        let clients = clients.await.map_err(|error| described(&error))?;
        let (scheme, client) = match url.scheme() {
            "https" => (Scheme::Https, &clients.https),
            _ => (Scheme::Http, &clients.http),
        };
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        let allow = &self.0.catalog.rules().webhooks.allow;
        match address.filter(|address| !may_be_called(*address, scheme, allow)) {
            Some(_) => Err(Refused(scheme).to_string()),
            None => Ok(client),
        }
    }
}

impl Inner {
    fn new_clients(&self) -> Result<Clients, reqwest::Error> {
        let client = |scheme| {
            let (catalog, source) = (self.catalog.clone(), self.source);
            Client::builder()
                .dns_resolver(Arc::new(CheckedLookup { catalog, scheme, source }))
                // A redirect would lead to an address that nobody has named.
                .redirect(Policy::none())
                .no_proxy()
                // A connection that is kept would skip the look-up.
                .pool_max_idle_per_host(0)
                .timeout(WITHIN)
                .user_agent(format!("imagedepot/{VERSION}"))
                .build()
        };
        Ok(Clients { https: client(Scheme::Https)?, http: client(Scheme::Http)? })
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::catalog::webhooks::WebhookDefinition;
    use crate::catalog::{Actor, Rules, test_catalog};
    use crate::model::EventTypes;

    /// A name that leads to another address of this machine each time: 127.0.0.1, then 127.0.0.2.
    fn another_each_time(_: String) -> tokio::task::JoinHandle<std::io::Result<Vec<SocketAddr>>> {
        static ASKED: AtomicU8 = AtomicU8::new(1);
        let last = ASKED.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move { Ok(vec![([127, 0, 0, last], 0).into()]) })
    }

    #[tokio::test]
    async fn a_name_is_looked_up_for_each_delivery_and_the_connection_goes_where_it_was_checked() {
        let folder = tempfile::tempdir().unwrap();
        let mut rules = Rules::default();
        rules.webhooks.allow = serde_json::from_str(r#"["127.0.0.1"]"#).unwrap();
        let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let catalog = test_catalog::open(folder.path(), rules, &now).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let definition = WebhookDefinition {
            name: "receiver".parse().unwrap(),
            url: format!("http://changes.example:{port}/").parse().unwrap(),
            types: EventTypes::default(),
            images: Vec::new(),
        };
        let made = catalog.create_webhook(&Actor::system("test"), definition).await.unwrap();
        let sender = Sender::with_source(catalog, another_each_time);
        let receiving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _some = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
        });
        let message = || Message { id: "1", body: "{}" };
        let first = sender.send(&made.0, message()).await.unwrap();
        assert_eq!(first, Attempt { status: Some(204), error: None });
        receiving.await.unwrap();
        let second = sender.send(&made.0, message()).await.unwrap();
        assert!(second.error.unwrap().contains("must not be called"));
    }
}
