//! Labels as the OpenAPI document describes them. What they may be is the catalog's to say.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Labels: up to 64, with keys of up to 100 and values of up to 1,000 bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = Labels)]
pub struct LabelMap(BTreeMap<String, String>);
