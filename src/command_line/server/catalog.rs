//! `imagedepot catalog`: commands on the catalog as a whole.

use std::path::Path;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use serde_json::json;

use super::data::{DataArgs, open_to_fill};
use crate::client::output::Output;
use crate::upkeep::rebuild::{NUMBERS_LEFT_OUT, Rebuilt};

/// The arguments of `catalog`.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build a new catalog from the tree: images, revisions, channels and what they offer; users are lost
    Rebuild {
        /// Number of revision numbers to skip in each image, in case they were given out and the tree does not show
        /// them
        #[arg(long, value_name = "NUMBER", default_value_t = NUMBERS_LEFT_OUT,
            value_parser = clap::value_parser!(i64).range(0..1_000_000))]
        numbers_left_out: i64,
    },
}

pub async fn run(args: CatalogArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let Action::Rebuild { numbers_left_out } = args.action;
    let (config, data) = (args.data.config(file)?, &args.data.data);
    let (catalog, _instance) = open_to_fill(&config, data).await?;
    let rebuilt = catalog.rebuild(numbers_left_out).await;
    catalog.close().await;
    say(&rebuilt?, args.data.output)
}

fn say(rebuilt: &Rebuilt, output: Output) -> anyhow::Result<()> {
    let Rebuilt { channels, images, revisions, bytes, left } = rebuilt;
    let all = format!(
        "{channels} channels, {images} images, {revisions} revisions, {}; every file was read",
        ByteSize::b(*bytes)
    );
    let lines: Vec<_> = left.iter().cloned().chain([all]).collect();
    let document = json!({
        "channels": channels, "images": images, "revisions": revisions, "bytes": bytes, "left": left,
    });
    Ok(output.result(&lines.join("\n"), &document)?)
}
