//! Every route in one list.

use actix_web::dev::HttpServiceFactory;
use actix_web::guard::fn_guard;
use actix_web::{Route, web};
use utoipa_actix_web::OpenApiFactory;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use super::conventions::{documentation, fallback};
use super::depot::Links;
use super::{
    approvals, assignments, audit, bits, certificate_mappings, channels, clients, delta, events,
    explain, files, garbage, health, images, mirrors, pins, prestage, progress, promotions,
    publications, reports, revisions, rollouts, scrub, status, tokens, tree, trust, update_check,
    uploads, users, webhooks, whoami,
};
use crate::wire;

/// The place below which most operations are.
const BELOW: &str = "/api/v1";

/// Takes operations: to serve them, or to describe them as well.
trait Registry {
    fn service<F: HttpServiceFactory + OpenApiFactory + 'static>(
        &mut self,
        operation: F,
    ) -> &mut Self;
}

impl Registry for web::ServiceConfig {
    fn service<F: HttpServiceFactory + OpenApiFactory + 'static>(
        &mut self,
        operation: F,
    ) -> &mut Self {
        Self::service(self, operation)
    }
}

impl Registry for ServiceConfig<'_> {
    fn service<F: HttpServiceFactory + OpenApiFactory + 'static>(
        &mut self,
        operation: F,
    ) -> &mut Self {
        ServiceConfig::service(self, operation)
    }
}

/// Registers every operation of the API to be served. The descriptions are left out: each worker would build all of
/// them, megabytes in small pieces, to throw them away.
pub fn operations(config: &mut web::ServiceConfig) {
    health_checks(config);
    config.service(web::scope(BELOW).configure(below));
}

/// Registers every operation of the API with its description.
pub fn described_operations(config: &mut ServiceConfig) {
    health_checks(config);
    config.service(scope(BELOW).configure(|config: &mut ServiceConfig| below(config)));
}

fn health_checks(config: &mut impl Registry) {
    config.service(health::livez).service(health::readyz).service(health::metrics);
}

/// Registers the operations below [`BELOW`].
///
/// The router tries one route after the other, and each route with a name in its path by a regular expression, which
/// took a twelfth of the CPU time of an update check. The operations that a fleet uses therefore come first.
fn below(config: &mut impl Registry) {
    config
        .service(update_check::check)
        .service(update_check::check_many)
        .service(reports::create)
        .service(explain::show);
    images_and_their_bytes(config);
    channels_and_what_they_offer(config);
    callers_and_upkeep(config);
    receivers_of_events(config);
}

fn images_and_their_bytes(config: &mut impl Registry) {
    config
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
        .service(delta::forecast)
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
        .service(revisions::revoke);
}

fn channels_and_what_they_offer(config: &mut impl Registry) {
    config
        .service(channels::list)
        .service(channels::create)
        .service(channels::show)
        .service(channels::change)
        .service(channels::delete)
        .service(assignments::list)
        .service(assignments::show)
        .service(assignments::promote)
        .service(assignments::roll_back)
        .service(assignments::withdraw)
        .service(rollouts::change)
        .service(approvals::approve)
        .service(approvals::take_back)
        .service(progress::show)
        .service(pins::list)
        .service(pins::show)
        .service(pins::put)
        .service(pins::delete)
        .service(promotions::history)
        .service(clients::list)
        .service(clients::delete_many)
        .service(clients::show)
        .service(clients::delete)
        .service(mirrors::list)
        .service(mirrors::put)
        .service(mirrors::delete)
        .service(publications::list)
        .service(publications::reconcile);
}

fn callers_and_upkeep(config: &mut impl Registry) {
    config
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
        .service(trust::root)
        .service(certificate_mappings::list)
        .service(certificate_mappings::create)
        .service(certificate_mappings::show)
        .service(certificate_mappings::delete)
        .service(garbage::collect)
        .service(scrub::show)
        .service(scrub::request)
        .service(status::show)
        .service(whoami::show)
        .service(audit::list)
        .service(events::follow);
}

fn receivers_of_events(config: &mut impl Registry) {
    config
        .service(webhooks::list)
        .service(webhooks::create)
        .service(webhooks::show)
        .service(webhooks::change)
        .service(webhooks::delete)
        .service(webhooks::rotate)
        .service(webhooks::deliveries::list)
        .service(webhooks::deliveries::retry)
        .service(webhooks::deliveries::test);
}

/// Registers the routes beside the operations: the tree and the documentation.
pub fn files_and_pages(config: &mut web::ServiceConfig, links: &Links) {
    let alias = &links.alias;
    config
        .service(
            web::resource(format!("/{alias}/{{path:.*}}"))
                .route(web::get().to(tree::serve))
                .route(web::head().to(tree::serve))
                .route(bits_post())
                .default_service(web::to(fallback::not_found_anywhere)),
        )
        .service(
            // The tree's root is not a destination for uploads either, and BITS needs that refusal in its own format.
            web::resource(format!("/{alias}"))
                .route(bits_post())
                .default_service(web::to(fallback::not_found_anywhere)),
        )
        .configure(|config| documentation::pages(config, links.public_path()));
}

fn bits_post() -> Route {
    let is_bits = fn_guard(|context| context.head().method.as_str() == wire::bits::METHOD);
    web::route().guard(is_bits).to(bits::post)
}
