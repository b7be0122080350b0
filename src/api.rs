//! HTTP: every route in one list, one file per noun.
//!
//! Handlers extract, call the catalog, convert. What all of them share stands in one place each:
//! [`caller`] (who, with the right in the type; `recognise` finds out who), [`listener`] (which ways in a
//! request may take), [`body`], [`conditional`], [`page`], [`idempotency`],
//! [`dry_run`], [`cross_site`], [`slow_body`], [`problem`] (the one form of refusal), [`fallback`] (404 and 405), [`file_response`] (bytes).

pub mod assignments;
pub mod audit;
pub mod bits;
pub mod body;
pub mod brakes;
pub mod browser;
pub mod caller;
pub mod certificate_mappings;
pub mod channels;
pub mod client_address;
pub mod conditional;
pub mod cross_site;
pub mod documentation;
pub mod dry_run;
pub mod fallback;
pub mod file_response;
pub mod files;
pub mod garbage;
pub mod health;
pub mod idempotency;
pub mod images;
pub mod listener;
pub mod page;
mod prestage;
pub mod problem;
pub mod publications;
mod recognise;
pub mod revisions;
pub mod slow_body;
pub mod tokens;
pub mod tree;
pub mod updates;
pub mod uploads;
pub mod users;
pub mod whoami;

use std::sync::Arc;

use actix_web::guard::fn_guard;
use actix_web::{Route, web};
use metrics_exporter_prometheus::PrometheusHandle;
use url::Url;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::access::{Authenticator, TokenReader};
use crate::catalog::Catalog;
use crate::wire;
use brakes::Brakes;
pub use dry_run::DryRun;
use listener::Listeners;

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
    /// Whether downloads are sent to the bucket itself.
    pub redirect: bool,
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

    fn base(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.as_str().trim_end_matches('/'))
    }
}

/// Every operation of the API, after the update check in the order of an image's life.
pub fn operations(config: &mut ServiceConfig) {
    config.service(health::livez).service(health::readyz).service(health::metrics).service(
        scope("/api/v1")
            // The router tries one after the other, those with a name in their path by a regular
            // expression each, which was a twelfth of a check's CPU: what a fleet asks comes first.
            .service(updates::check)
            .service(updates::check_many)
            .service(images::list)
            .service(images::create)
            .service(images::show)
            .service(images::change)
            .service(images::delete)
            .service(revisions::list)
            .service(revisions::create)
            .service(revisions::show)
            .service(revisions::change)
            .service(revisions::delete)
            .service(prestage::get)
            .service(prestage::head)
            .service(files::put)
            .service(files::get)
            .service(files::head)
            .service(files::options)
            .service(uploads::list)
            .service(uploads::create)
            .service(uploads::options)
            .service(uploads::show)
            .service(uploads::head)
            .service(uploads::append)
            .service(uploads::cancel)
            .service(uploads::options_of_one)
            .service(revisions::seal)
            .service(revisions::revoke)
            .service(channels::list)
            .service(channels::create)
            .service(channels::show)
            .service(channels::change)
            .service(channels::delete)
            .service(assignments::list)
            .service(assignments::show)
            .service(assignments::promote)
            .service(assignments::roll_back)
            .service(assignments::history)
            .service(publications::list)
            .service(publications::reconcile)
            .service(users::list)
            .service(users::create)
            .service(users::show)
            .service(users::change)
            .service(users::delete)
            .service(tokens::list)
            .service(tokens::create)
            .service(tokens::show)
            .service(tokens::revoke)
            .service(tokens::keys)
            .service(certificate_mappings::list)
            .service(certificate_mappings::create)
            .service(certificate_mappings::show)
            .service(certificate_mappings::delete)
            .service(garbage::collect)
            .service(whoami::show)
            .service(audit::list),
    );
}

/// What is served beside the operations: the tree and the documentation.
pub fn files_and_pages(config: &mut web::ServiceConfig, alias: &str) {
    config
        .service(
            web::resource(format!("/{alias}/{{path:.*}}"))
                .route(web::get().to(tree::serve))
                .route(web::head().to(tree::serve))
                .route(bits_post())
                .default_service(web::to(fallback::nothing_here)),
        )
        .service(
            // The tree's root is no destination either, and BITS wants to hear so in its own words.
            web::resource(format!("/{alias}"))
                .route(bits_post())
                .default_service(web::to(fallback::nothing_here)),
        )
        .configure(documentation::pages);
}

fn bits_post() -> Route {
    let is_bits = fn_guard(|context| context.head().method.as_str() == wire::bits::METHOD);
    web::route().guard(is_bits).to(bits::post)
}
