//! Protocols defined by others, parsed and written without knowledge of the catalog.

pub mod bits;
pub mod client_cert;
pub mod digest_fields;
pub mod forwarded;
pub mod multipart_ranges;
pub mod preconditions;
pub mod promised_digests;
pub mod ranges;
pub mod request_heads;
pub mod resumable;
pub mod tus;
