//! The state that handlers work with: the catalog, the parts that recognise callers, the limits of the tree, and the
//! rules by which paths become links.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use url::Url;

use super::conventions::limits::DownloadLimits;
use super::conventions::listener::Listeners;
use super::events::open_streams::OpenStreams;
use super::tree::redirect::Redirects;
use crate::access::{Authenticator, TokenReader};
use crate::catalog::Catalog;
use crate::delivery::Sender;

/// The state that handlers work with, shared by all workers.
#[derive(Clone)]
pub struct Depot {
    pub catalog: Catalog,
    pub authenticator: Authenticator,
    pub tokens: TokenReader,
    /// The acceptor of Kerberos tickets; none if no listener accepts them.
    #[cfg(feature = "negotiate")]
    pub negotiate: Option<crate::access::negotiate::Negotiate>,
    pub listeners: Listeners,
    pub links: Links,
    pub download_limits: DownloadLimits,
    pub event_streams: OpenStreams,
    /// The sender of tests to webhooks.
    pub sender: Sender,
    /// The redirects to the bucket; none if this server sends all downloads itself.
    pub redirects: Option<Redirects>,
    pub metrics: PrometheusHandle,
}

impl Depot {
    /// Returns the current time.
    pub fn now(&self) -> DateTime<Utc> {
        self.catalog.clock().now()
    }
}

/// The rules by which paths become links.
#[derive(Debug, Clone)]
pub struct Links {
    pub public_url: Option<Url>,
    /// Other origins whose pages may call the API.
    pub origins: Arc<[String]>,
    /// The first segment of the tree's HTTP paths.
    pub alias: String,
}

impl Links {
    /// Returns the link to a file of the tree. It is absolute if the server knows its public URL.
    pub fn tree(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.base(), self.alias)
    }

    /// Returns the link to a path below `/api/v1/`. It is absolute if the server knows its public URL.
    pub fn api(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base())
    }

    /// Reports whether pages of an origin may make browsers call the API: the origin of the public URL and those in the
    /// settings may.
    pub fn lets_in(&self, origin: &str) -> bool {
        let public = self.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        public.as_deref() == Some(origin) || self.origins.iter().any(|other| other == origin)
    }

    /// Returns the path of the public URL below which the server is reached, or an empty text if the server has the
    /// whole host.
    pub fn public_path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    fn base(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.as_str().trim_end_matches('/'))
    }
}
