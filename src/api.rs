//! The HTTP API. Handlers extract the parts of a request, call the catalog and convert the result.
//!
//! [`routes`] lists every route, [`depot`] is the state that handlers work with, [`conventions`] contains what all
//! operations share, and [`openapi`] generates the document that describes them. Every other module is one noun of the
//! API. A fleet of clients uses `update_check`, `tree` and `bits`.

pub mod approvals;
pub mod assignments;
pub mod audit;
pub mod bits;
pub mod certificate_mappings;
pub mod channels;
pub mod clients;
pub mod conventions;
pub mod delta;
pub mod depot;
pub mod events;
pub mod explain;
pub mod files;
pub mod garbage;
pub mod health;
pub mod images;
pub mod mirrors;
pub mod openapi;
pub mod pins;
pub mod prestage;
pub mod progress;
pub mod promotions;
pub mod publications;
pub mod reports;
pub mod revisions;
pub mod rollouts;
pub mod routes;
pub mod scrub;
pub mod status;
pub mod tokens;
pub mod tree;
pub mod trust;
pub mod update_check;
pub mod uploads;
pub mod users;
pub mod webhooks;
pub mod whoami;
