//! Users, tokens, certificate mappings, and the initial contents of a new catalog. The module `access` authenticates
//! callers.

pub mod account;
pub mod certificate_mapping;
pub mod first_start;
mod standing;
pub mod token;
