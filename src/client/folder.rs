//! Folders of this machine on the command line.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

use crate::model::local_folder::local_folder;

/// How they are read: an address of another machine is refused, and not made as a folder of that name.
pub fn folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(local_folder)
}
