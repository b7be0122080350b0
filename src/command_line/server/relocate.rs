//! `imagedepot move`: moves everything to another database, another store, or both.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use clap::Args;
use serde_json::json;
use url::Url;

use super::data::{DataArgs, must_be_outside_store_and_tree, open_to_fill};
use super::refusal::Incomplete;
use crate::client::folder::folder;
use crate::client::output::Output;
use crate::config::Config;
use crate::upkeep::relocate::{IfMoved, Moved, Shared};

/// The arguments of `move`.
#[derive(Debug, Args)]
pub struct MoveArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Settings file of the new place; environment variables do not apply to it
    #[arg(long, value_name = "FILE", required_unless_present = "give_up")]
    to_config: Option<PathBuf>,
    /// Data folder of the new place
    #[arg(long, value_name = "DIR", required_unless_present = "give_up", value_parser = folder())]
    to_data: Option<PathBuf>,
    /// Accept changes at the old place again, after a move that was interrupted
    #[arg(long, conflicts_with_all = ["to_config", "to_data"])]
    give_up: bool,
    /// Give up even if the move was completed; only if the new place is not in use
    #[arg(long, requires = "give_up")]
    although_moved: bool,
}

pub async fn run(args: MoveArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let from = args.data.open_catalog(file).await?;
    let (Some(to_config), Some(to_data)) = (&args.to_config, &args.to_data) else {
        let if_moved = if args.although_moved { IfMoved::GoOnHere } else { IfMoved::Refuse };
        let done = from.unfreeze(if_moved).await;
        from.close().await;
        done?;
        return Ok(args
            .data
            .output
            .result("the old place accepts changes again", &json!({"given_up": true}))?);
    };
    let old = args.data.config(file)?;
    must_be_outside_store_and_tree(to_data, &old)?;
    let new = Config::read_file(to_config)?.complete(to_data, None)?;
    if old.catalog.url == new.catalog.url {
        bail!("the settings of the old and the new place name the same catalog");
    }
    let is_same = |one: Option<&Url>, other: Option<&Url>| {
        let plain = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        one.map(plain) == other.map(plain)
    };
    let shared = Shared {
        store: is_same(old.store.url.as_ref(), new.store.url.as_ref())
            && old.store.options == new.store.options,
        tree: is_same(old.tree.url.as_ref(), new.tree.url.as_ref()),
    };
    let (to, _instance) = open_to_fill(&new, to_data).await.context("cannot open the new place")?;
    let moved = from.move_to(&to, shared, to_data).await;
    to.close().await;
    from.close().await;
    say(&moved?, args.data.output)
}

fn say(moved: &Moved, output: Output) -> anyhow::Result<()> {
    let Moved { rows, blobs, copied_bytes, lost, .. } = moved;
    let sentence = format!(
        "moved {rows} rows and {blobs} blobs; {} were copied and compared with their digests. The old place still answers \
         checks and downloads, but accepts no changes: start servers with the new settings, then stop the old ones",
        ByteSize::b(*copied_bytes)
    );
    let lost: Vec<_> = lost.iter().map(|(_, digest)| digest).collect();
    let document =
        json!({"rows": rows, "blobs": blobs, "copied_bytes": copied_bytes, "lost": lost});
    output.result(&sentence, &document)?;
    if !lost.is_empty() {
        let detail = format!(
            "{} files were damaged at the old place, and are in quarantine at the new one",
            lost.len()
        );
        return Err(Incomplete(detail).into());
    }
    Ok(())
}
