//! The application that every worker serves: state, middleware, routes.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::error::QueryPayloadError;
use actix_web::http::Method;
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, Error, HttpServer, ResponseError as _};
use metrics_exporter_prometheus::PrometheusHandle;

use super::error::ServerError;
use super::start::Opened;
#[cfg(feature = "negotiate")]
use crate::access::{AuthenticationMethod, negotiate::Negotiate};
use crate::access::{Authenticator, TokenReader};
use crate::api::conventions::browser::let_in_pages_of;
use crate::api::conventions::documentation::DocumentText;
use crate::api::conventions::documented_routes::Routes;
use crate::api::conventions::fallback;
use crate::api::conventions::limits::{DownloadLimits, Limits};
use crate::api::conventions::listener::Listeners;
use crate::api::conventions::listener_headers::add_listener_headers;
use crate::api::conventions::problem::{Code, Problem};
use crate::api::conventions::{
    below_public_url, body, cross_site, expectation, idempotency, slow_body, tree_paths,
    unknown_parameters,
};
use crate::api::depot::{Depot, Links};
use crate::api::events::open_streams::OpenStreams;
use crate::api::tree::redirect::Redirects;
use crate::api::uploads::tus_middleware::{is_upload, speak_tus};
use crate::api::{events, health, openapi, routes};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::delivery::Sender;
use crate::model::{Clock, Ids};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::request::{self, Observer};

pub(super) fn depot(
    config: &Config,
    opened: &Opened,
    listeners: Listeners,
) -> Result<Depot, ServerError> {
    Ok(Depot {
        catalog: opened.catalog.clone(),
        authenticator: Authenticator::new(
            opened.catalog.clone(),
            Ids,
            config.access.logins.limits(),
        )?,
        tokens: TokenReader::new(opened.catalog.clone(), config.access.oidc.as_ref())?,
        #[cfg(feature = "negotiate")]
        negotiate: negotiate(config, opened)?,
        listeners,
        links: Links {
            public_url: config.server.public_url.clone(),
            alias: config.tree.alias.clone(),
            origins: config.access.cors.as_slice().into(),
        },
        download_limits: DownloadLimits::new(limits(config)),
        event_streams: OpenStreams::default(),
        sender: Sender::new(opened.catalog.clone()),
        redirects: config.tree.redirect.then(Redirects::default),
        metrics: opened.metrics.clone(),
    })
}

#[cfg(feature = "negotiate")]
fn negotiate(config: &Config, opened: &Opened) -> Result<Option<Negotiate>, ServerError> {
    let mut ways_in = config.listener.iter().flat_map(|listener| &listener.ways_in);
    if !ways_in.any(|way| *way == AuthenticationMethod::Negotiate) {
        return Ok(None);
    }
    Ok(Some(Negotiate::new(opened.catalog.clone(), config.principals()?)?))
}

/// Returns the download limits that the settings ask for.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        downloads: config.tree.max_downloads,
        downloads_per_client: config.tree.max_downloads_per_client,
        bandwidth: config.tree.bandwidth.as_u64(),
        bandwidth_per_client: config.tree.bandwidth_per_client.as_u64(),
    }
}

pub(super) fn observer(config: &Config, opened: &Opened) -> Result<Observer, ServerError> {
    let clock = opened.catalog.clock().clone();
    let open = |path: &std::path::PathBuf| {
        AccessLog::open(path, clock.clone()).map_err(|source| ServerError::Listen {
            what: format!("log.access {}", path.display()),
            source,
        })
    };
    Ok(Observer {
        access_log: config.log.access.as_ref().map(open).transpose()?,
        clock: Clock::System,
        ids: Ids,
        proxies: config.server.trusted_proxies.clone(),
    })
}

/// The state that all workers share.
#[derive(Clone)]
pub(super) struct Shared {
    depot: Data<Depot>,
    observer: Data<Observer>,
    document: Data<DocumentText>,
    routes: Data<Routes>,
    cors: Arc<[String]>,
}

impl Shared {
    pub(super) fn observer(&self) -> &Observer {
        &self.observer
    }

    pub(super) fn new(depot: Depot, observer: Observer, config: &Config) -> Self {
        let alias = &config.tree.alias;
        let text = openapi::served_text(depot.links.public_url.as_ref().map(AsRef::as_ref));
        Self {
            depot: Data::new(depot),
            observer: Data::new(observer),
            routes: Data::new(
                Routes::of(openapi::COMMITTED).with_files_below(&format!("/{alias}")),
            ),
            document: Data::new(DocumentText(text)),
            cors: config.access.cors.as_slice().into(),
        }
    }
}

pub(super) fn app(
    shared: &Shared,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let links = shared.depot.links.clone();
    let below_a_path = !links.public_path().is_empty();
    App::new()
        .app_data(shared.depot.clone())
        .app_data(shared.observer.clone())
        .app_data(shared.document.clone())
        .app_data(shared.routes.clone())
        .app_data(web::PayloadConfig::new(body::LARGE))
        .app_data(web::PathConfig::default().error_handler(|_, _| Problem::not_found().into()))
        .app_data(web::QueryConfig::default().error_handler(|error, _| of_query(&error).into()))
        .configure(routes::operations)
        .configure(|config| routes::files_and_pages(config, &links))
        .default_service(web::to(fallback::not_found_anywhere))
        .wrap(from_fn(idempotency::answer_repeats))
        .wrap(from_fn(normalize_or_refuse))
        .wrap(from_fn(speak_tus))
        .wrap(from_fn(slow_body::watch))
        .wrap(from_fn(expectation::ask_when_read))
        .wrap(from_fn(add_listener_headers))
        .wrap(Condition::new(!shared.cors.is_empty(), let_in_pages_of(&shared.cors)))
        .wrap(Condition::new(below_a_path, from_fn(below_public_url::prefix_paths)))
        .wrap(from_fn(request::observe))
}

/// Converts an error of reading a query. Unknown names get here only from the update check, and Serde's message shows
/// which errors these are.
fn of_query(error: &QueryPayloadError) -> Problem {
    let text = error.to_string();
    let code = if text.contains("unknown field") { Code::UnknownParameter } else { Code::BadQuery };
    Problem::new(code, format!("the query is invalid: {text}"))
}

/// Handles in one step everything that depends on the head of a request alone. Each further middleware would cost every
/// request as much as its routing does.
async fn normalize_or_refuse(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    tree_paths::put_right(&mut request);
    take_head_for_get(&mut request);
    let refusal = cross_site::refusal(request.request());
    match refusal.or_else(|| unknown_parameters::refusal(&request)) {
        Some(problem) => Ok(request.into_response(problem.error_response())),
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

/// Sends a HEAD request for a page to the handler of GET; no body is sent. Files have HEAD handlers of their own,
/// because a HEAD must not open anything to send. So have uploads, because their HEAD asks for something else.
fn take_head_for_get(request: &mut ServiceRequest) {
    if *request.method() == Method::HEAD && is_page(request.path()) {
        request.head_mut().method = Method::GET;
    }
}

fn is_page(path: &str) -> bool {
    let page = path.starts_with("/api/")
        || ["/livez", "/readyz", "/metrics"].contains(&path)
        || path.starts_with("/docs");
    // A stream has no end, so nothing could be answered without its body.
    page && !path.contains("/files/") && !is_upload(path) && path != events::PATH
}

/// Serves `/metrics` on an address of its own, open to any caller who reaches it.
pub(super) fn metrics_server(
    socket: TcpListener,
    handle: PrometheusHandle,
    catalog: Catalog,
) -> std::io::Result<ServerHandle> {
    let server: Server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(handle.clone()))
            .app_data(Data::new(catalog.clone()))
            .route("/metrics", web::get().to(health::open_metrics))
    })
    .workers(1)
    .disable_signals()
    .listen(socket)?
    .run();
    let stop = server.handle();
    tokio::spawn(server);
    Ok(stop)
}
