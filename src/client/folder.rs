//! Local folders on the command line.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::model::local_folder::local_folder;

/// Returns the parser of a folder argument. It refuses an address of another machine instead of taking it as a folder
/// name.
pub fn folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(local_folder)
}
