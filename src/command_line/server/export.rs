//! `imagedepot export`.

use std::path::Path;
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::backup::open_backup_store;
use super::data::DataArgs;
use crate::client::output::Output;
use crate::model::ImageName;

/// What is to be carried, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    data: DataArgs,
    /// An image, all of whose ready revisions are meant, or IMAGE:NUMBER
    #[arg(value_name = "IMAGE[:NUMBER]", required = true)]
    chosen: Vec<Chosen>,
    /// A folder, or a bucket
    #[arg(long, value_name = "PLACE")]
    to: String,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// An image, or one of its revisions.
#[derive(Debug, Clone)]
struct Chosen(ImageName, Option<i64>);

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (image, number) = match text.split_once(':') {
            Some((image, number)) => {
                (image, Some(number.parse().map_err(|_| format!("{number} is no number"))?))
            }
            None => (text, None),
        };
        let image = image.parse().map_err(|error: crate::model::InvalidName| error.to_string())?;
        Ok(Self(image, number))
    }
}

pub async fn run(args: ExportArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let backup_store = open_backup_store(&args.to, &args.data.config(file)?)?;
    let catalog = args.data.open_catalog(file).await?;
    let chosen: Vec<_> =
        args.chosen.into_iter().map(|Chosen(image, number)| (image, number)).collect();
    let done = Box::pin(catalog.export(&backup_store, &chosen)).await;
    catalog.close().await;
    let (name, note) = done?;
    let revisions: Vec<_> = note
        .revisions
        .iter()
        .map(|one| json!({"image": one.image, "revision": one.number}))
        .collect();
    let sentence = format!("export {name}: {} revisions", revisions.len());
    Ok(args.output.result(&sentence, &json!({"name": name, "revisions": revisions}))?)
}
