//! The limits of every upload, which the IETF draft reports in `Upload-Limit`.

use crate::api::depot::Depot;
use crate::wire::resumable::Limits;

/// Returns the limits of every upload.
pub fn limits(depot: &Depot) -> Limits {
    Limits { max_size: depot.catalog.rules().uploads.max_size.as_u64(), max_age: None }
}
