//! The headers of a file that upstream sends, and that are passed on.

use hyper::HeaderMap;
use hyper::header::{CACHE_CONTROL, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

/// The headers of a file that are passed on as upstream sends them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub last_modified: Option<String>,
    pub cache_control: Option<String>,
}

impl About {
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self { last_modified: text(LAST_MODIFIED), cache_control: text(CACHE_CONTROL) }
    }
}
