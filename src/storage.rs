//! Rows and bytes.
