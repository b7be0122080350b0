//! `imagedepot openapi`.

use std::io::Write as _;

use crate::api::openapi;

/// Writes the document, as `openapi/imagedepot.json` keeps it.
pub fn run() -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(openapi::document_text().as_bytes())?)
}
