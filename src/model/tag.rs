//! How the tag of a record is written that counts its changes; what an `ETag` looks like is the API's.

/// Another one for each version.
pub(super) fn of_version(version: i64) -> String {
    format!("v{version}")
}
