//! `imagedepot openapi`.

use crate::api::openapi;
use crate::client::output::Stream;

/// Writes the document, as `openapi/imagedepot.json` keeps it.
pub fn run() -> anyhow::Result<()> {
    let mut output = Stream::begin();
    output.write(openapi::document_text().as_bytes())?;
    Ok(output.end()?)
}
