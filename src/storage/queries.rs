//! All SQL statements, grouped by noun, as methods of [`Tx`](super::db::Tx).
//!
//! A look-up returns `Option`; the catalog decides what absence means. Rows are returned as the model's records.
//! `statement` runs one text on either database.

pub(super) mod accounts;
mod approvals;
mod audit;
mod bits_sessions;
mod blobs;
pub(super) mod certificate_mappings;
pub(super) mod changes;
mod channels;
#[cfg(test)]
mod column_lists;
mod deliveries;
mod events;
mod figures;
pub(super) mod fleet;
mod fleet_lists;
pub(super) mod idempotency;
pub(super) mod images;
mod jobs;
mod like;
mod mirrors;
pub(super) mod offers;
mod pins;
pub(super) mod promotions;
pub(super) mod publications;
mod replicas;
pub(super) mod reports;
pub(super) mod revisions;
pub(super) mod scrub;
mod statement;
pub(super) mod tokens;
pub(super) mod transfer_files;
pub(super) mod trust;
pub(super) mod upload_writers;
pub(super) mod uploads;
mod webhooks;
