//! What every operation of the API shares, each convention in one place.
//!
//! Who asks: [`caller`] (with the right in the type), [`authentication`] (finds out who), [`listener`] (which ways in a
//! request may take), [`client_address`], [`cross_site`]. What comes in: [`body`] (JSON), [`file_body`], [`slow_body`], [`expectation`], [`page`],
//! [`conditional`], [`idempotency`], [`dry_run`], [`triable_change`] (both in one), [`unknown_parameters`]. Addresses: [`tree_paths`], [`below_public_url`]. What goes out: [`problem`] (the one form of refusal), [`fallback`] (404
//! and 405, by [`documented_routes`]), [`file_response`] (bytes), [`limits`] (how many downloads, and how fast), [`browser`] (headers that browsers
//! obey), [`listener_headers`], [`documentation`] (the OpenAPI document and its page), [`label_map`] (labels in that document).

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
