//! `/uploads`: resumable uploads.

pub mod body;
