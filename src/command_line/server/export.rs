//! `imagedepot export`: copies chosen revisions to a folder or a bucket.

use std::path::Path;
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::absent;
use super::backup::open_backup_store;
use super::data::DataArgs;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::model::ImageName;
use crate::storage::backup_store::Place;
use crate::upkeep::export::ExportNote;

/// The arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Image whose ready revisions are all exported, or one revision as IMAGE:NUMBER
    #[arg(value_name = "IMAGE[:NUMBER]", required = true)]
    chosen: Vec<Chosen>,
    /// Folder, or bucket such as `s3://backups/imagedepot`
    #[arg(long, value_name = "PLACE")]
    to: Place,
}

/// An image, or one of its revisions.
#[derive(Debug, Clone)]
struct Chosen(ImageName, Option<i64>);

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (image, number) = match text.split_once(':') {
            Some((image, number)) => (
                image,
                Some(number.parse().map_err(|_| format!("{number} is not a revision number"))?),
            ),
            None => (text, None),
        };
        let image = image.parse().map_err(|error: crate::model::InvalidName| error.to_string())?;
        Ok(Self(image, number))
    }
}

pub async fn run(args: ExportArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    // The catalog is opened first, so that no place is made if there is nothing to put there.
    let catalog = args.data.open_catalog(file).await?;
    let done = export(&args, &config, &catalog).await;
    catalog.close().await;
    let (name, note) = done?;
    let revisions: Vec<_> = note
        .revisions
        .iter()
        .map(|one| json!({"image": one.image, "revision": one.number}))
        .collect();
    let sentence = format!("export {name}: {} revisions", revisions.len());
    Ok(args.data.output.result(&sentence, &json!({"name": name, "revisions": revisions}))?)
}

async fn export(
    args: &ExportArgs,
    config: &Config,
    catalog: &Catalog,
) -> anyhow::Result<(String, ExportNote)> {
    for Chosen(image, _) in &args.chosen {
        if let Err(error) = catalog.image(image).await {
            return Err(absent::named(catalog, error, image).await);
        }
    }
    let chosen: Vec<_> =
        args.chosen.iter().map(|Chosen(image, number)| (image.clone(), *number)).collect();
    let backup_store = open_backup_store(&args.to, config)?;
    let done = catalog.export(&backup_store, &chosen).await;
    Ok(done.inspect_err(|_| backup_store.remove_new_folders())?)
}
