//! `imagedepot openapi`: prints the API's description.

use crate::api::openapi;
use crate::client::output::Stream;

/// Prints the document, which is the same as `openapi/imagedepot.json`.
pub fn run() -> anyhow::Result<()> {
    let mut output = Stream::begin();
    output.write(openapi::document_text().as_bytes())?;
    Ok(output.end()?)
}
