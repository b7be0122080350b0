//! The database rows and the stored bytes: both databases behind one type, and the blob store behind another.
//!
//! This layer is below the catalog, which holds the rules. Nothing here decides whether a change is allowed.

mod audit_row;
pub mod backup_store;
mod ballast;
pub mod blobs;
mod copying;
pub mod db;
mod digest_column;
pub mod disk;
pub mod dump;
pub mod error;
pub mod instance;
pub mod probe;
mod queries;
pub mod tree;

pub use audit_row::{AuditFilter, AuditHead, AuditRow, canonical_json};
pub use blobs::Blobs;
pub use db::{CONNECTIONS, Db, Purpose, Tx};
pub use error::StorageError;
pub use queries::accounts::AccountRecord;
pub use queries::certificate_mappings::CertificateMappingRecord;
pub use queries::changes::Change;
pub use queries::fleet::FleetSize;
pub use queries::idempotency::{Remembered, RememberedAnswer};
pub use queries::images::ImageRecord;
pub use queries::offers::{LingeringFile, OfferedFile, PinnedRevision, RevokedFile, Scope};
pub use queries::promotions::HistoryPlace;
pub use queries::publications::{KnownFile, ListedPublication};
pub use queries::reports::{NewReport, ProgressPoint};
pub use queries::revisions::RetainedRevision;
pub use queries::scrub::ScrubDue;
pub use queries::tokens::{SigningKeyRecord, TokenRecord};
pub use queries::transfer_files::{Missing, MissingDelta, NewTransferFile, TargetFile};
pub use queries::trust::TrustRow;
pub use queries::upload_writers::{Holder, Progress};
pub use queries::uploads::UploadRecord;
