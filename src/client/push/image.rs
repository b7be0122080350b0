//! Looks up the image that is pushed to, creates it if it does not exist, and compares it with the command line.

use serde::Deserialize;
use serde_json::json;

use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::args::Args;
use super::files::{self, Kind, LocalFile};
use crate::client::error::Failure;

/// The fields of an image that the client reads.
#[derive(Debug, Deserialize)]
pub struct Image {
    pub name: String,
    pub kind: Kind,
    extension: Option<String>,
    /// Set if this push created the image, so that there is nothing to compare with.
    #[serde(skip)]
    pub is_new: bool,
}

/// Returns the image of this name. Creates it if it does not exist.
pub async fn find_or_make(connection: &Connection, args: &Args) -> Result<Image, Failure> {
    let address = connection.api(&["images", &args.image])?;
    let image: Image = match connection.get(address.clone()).await {
        Ok(image) => image,
        Err(absent) if absent.exit() == Exit::NotFound => {
            let kind = match args.kind {
                Some(kind) => kind,
                None => files::guess_kind(&args.files)?,
            };
            let mut wanted = json!({ "name": args.image, "kind": kind });
            if let Some(extension) = files::extension(kind, &args.files)? {
                wanted["extension"] = extension.into();
            }
            match connection.post(connection.api(&["images"])?, Some(&wanted)).await {
                Ok(_) => {}
                // Either somebody else has just created it, or the name is refused: then it still does not exist, and
                // the refusal is the error to report.
                Err(taken) if taken.exit() == Exit::Conflict => {
                    return connection.get(address).await.map_err(|_| taken);
                }
                Err(refused) => return Err(refused),
            }
            Image { is_new: true, ..connection.get(address).await? }
        }
        Err(failure) => return Err(failure),
    };
    match args.kind {
        Some(kind) if kind != image.kind => Err(Failure::new(
            Exit::Conflict,
            format!("{} is of kind {}, not {kind}", image.name, image.kind),
        )),
        _ => Ok(image),
    }
}

impl Image {
    /// Warns if a file has another extension. It is not refused: the bytes are opaque, and many a disk image has no
    /// extension or another one.
    pub fn warn_of_another_extension(&self, files: &[LocalFile], progress: &Progress) {
        if let (Some(expected), [LocalFile { path, .. }]) = (&self.extension, files)
            && path.extension().is_some_and(|actual| !actual.eq_ignore_ascii_case(expected))
        {
            progress.note(&format!(
                "{} will be published with the image's extension, .{expected}",
                path.display()
            ));
        }
    }
}
