//! What every upload is held to, as the IETF's draft tells it in `Upload-Limit`.

use crate::api::depot::Depot;
use crate::wire::resumable::Limits;

/// What every upload is held to.
pub fn limits(depot: &Depot) -> Limits {
    Limits { max_size: depot.catalog.rules().uploads.max_size.as_u64(), max_age: None }
}
