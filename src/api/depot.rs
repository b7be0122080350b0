//! What handlers work with: the catalog, what recognises callers, the limits of the tree, and how paths become links.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use url::Url;

use super::conventions::limits::Brakes;
use super::conventions::listener::Listeners;
use super::tree::redirect::Redirects;
use crate::access::{Authenticator, TokenReader};
use crate::catalog::Catalog;

/// What handlers work with; one for all workers.
#[derive(Clone)]
pub struct Depot {
    pub catalog: Catalog,
    pub authenticator: Authenticator,
    pub tokens: TokenReader,
    /// None where no listener takes tickets.
    #[cfg(feature = "negotiate")]
    pub negotiate: Option<crate::access::negotiate::Negotiate>,
    pub listeners: Listeners,
    pub links: Links,
    pub brakes: Brakes,
    /// None where all downloads are answered here.
    pub redirects: Option<Redirects>,
    pub metrics: PrometheusHandle,
}

/// How paths of the tree become links.
#[derive(Debug, Clone)]
pub struct Links {
    pub public_url: Option<Url>,
    /// Other origins whose pages may call the API.
    pub origins: Arc<[String]>,
    /// The first part of the tree's HTTP paths.
    pub alias: String,
}

impl Links {
    /// The link to a file of the tree: absolute where the server knows its public name.
    pub fn tree(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.base(), self.alias)
    }

    /// The link to something below `/api/v1/`, likewise.
    pub fn api(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base())
    }

    /// Whether pages of an origin may have browsers call the API: the server's public one's and those of the settings.
    pub fn lets_in(&self, origin: &str) -> bool {
        let public = self.public_url.as_ref().map(|url| url.origin().ascii_serialization());
        public.as_deref() == Some(origin) || self.origins.iter().any(|other| other == origin)
    }

    /// Below which path of its public name the server is reached; empty where it has the name for itself.
    pub fn public_path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    fn base(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.as_str().trim_end_matches('/'))
    }
}
