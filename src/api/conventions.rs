//! The conventions that all operations of the API share, each in one place.
//!
//! - The caller: [`caller`] (with the right in the type), [`authentication`] (identifies the caller), [`listener`] (the
//!   authentication methods that a request may use), [`client_address`] and [`cross_site`];
//! - requests: [`body`] (JSON), [`file_body`], [`slow_body`], [`expectation`], [`page`], [`conditional`],
//!   [`idempotency`], [`dry_run`], [`triable_change`] (a condition and a dry run in one) and [`unknown_parameters`];
//! - addresses: [`tree_paths`] and [`below_public_url`];
//! - responses: [`problem`] (the only form of refusals), [`fallback`] (404 and 405, from the [`documented_routes`]),
//!   [`file_response`] (bytes), [`limits`] (the number and the speed of downloads), [`browser`] (headers for browsers),
//!   [`caching`], [`listener_headers`], [`documentation`] (the OpenAPI document and its page), [`label_map`] (labels in
//!   that document) and [`sample`] (its examples).

pub mod authentication;
pub mod below_public_url;
pub mod body;
pub mod browser;
pub mod caching;
pub mod caller;
pub mod client_address;
pub mod conditional;
pub mod cross_site;
pub mod documentation;
pub mod documented_routes;
pub mod dry_run;
pub mod expectation;
pub mod fallback;
pub mod file_body;
pub mod file_response;
pub mod idempotency;
pub mod label_map;
pub mod limits;
pub mod listener;
pub mod listener_headers;
pub mod page;
pub mod problem;
pub mod sample;
pub mod slow_body;
pub mod tree_paths;
pub mod triable_change;
pub mod unknown_parameters;
