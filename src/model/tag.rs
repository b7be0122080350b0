//! The tag of a record that counts its changes. The API defines the format of an `ETag`.

/// Returns a tag that is different for each version.
pub(super) fn of_version(version: i64) -> String {
    format!("v{version}")
}
