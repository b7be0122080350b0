//! `imagedepot openapi`.

use std::io::Write as _;

use crate::api::documentation;

/// Writes the document, as `openapi/imagedepot.json` keeps it.
pub fn run() -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(documentation::document_text().as_bytes())?)
}
