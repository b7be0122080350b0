//! Who may come in: users, tokens, certificate mappings, and what a new catalog is given. How callers prove who they are
//! is the room `access`'s.

pub mod account;
pub mod certificate_mapping;
pub mod first_start;
mod standing;
pub mod token;
