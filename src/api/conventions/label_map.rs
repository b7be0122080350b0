//! Labels, as the OpenAPI document describes them. The catalog decides which ones are valid.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Up to 64 labels, with keys of up to 100 and values of up to 1,000 bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = Labels)]
pub struct LabelMap(BTreeMap<String, String>);
