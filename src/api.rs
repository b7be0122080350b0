//! The HTTP API. Handlers extract, call the catalog, convert.
//!
//! [`routes`] has every route in one list, [`depot`] what handlers work with, [`conventions`] what every operation
//! shares, [`openapi`] the document that describes it. Everything else is one file or folder for each noun of the API; `update_check`, `tree` and `bits` are what a
//! fleet of clients asks.

pub mod assignments;
pub mod audit;
pub mod bits;
pub mod certificate_mappings;
pub mod channels;
pub mod conventions;
pub mod depot;
pub mod files;
pub mod garbage;
pub mod health;
pub mod images;
pub mod openapi;
pub mod prestage;
pub mod promotions;
pub mod publications;
pub mod revisions;
pub mod routes;
pub mod scrub;
pub mod status;
pub mod tokens;
pub mod tree;
pub mod update_check;
pub mod uploads;
pub mod users;
pub mod whoami;
