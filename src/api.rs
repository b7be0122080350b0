//! HTTP: every route, one file per noun.

pub mod problem;
