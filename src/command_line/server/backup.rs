//! `imagedepot backup`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use clap::Args;
use serde_json::json;
use url::Url;

use super::data::{DataArgs, must_be_beside};
use crate::client::output::Output;
use crate::config::Config;
use crate::storage::backup_store::BackupStore;
use crate::upkeep::backup::{BackedUp, prune};

/// Where the backup goes.
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A folder, or a bucket such as `s3://backups/imagedepot`; what it has already is not copied again
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Remove older backups there, so that so many stay
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub async fn run(args: BackupArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let backup_store = open_backup_store(&args.to, &config)?;
    let catalog = args.data.open_catalog(file).await?;
    let done = Box::pin(catalog.back_up(&backup_store, &args.data.data)).await;
    catalog.close().await;
    let done = done?;
    let pruned = match args.keep {
        Some(keep) => Box::pin(prune(&backup_store, usize::try_from(keep)?, &done.name)).await?,
        None => 0,
    };
    say_backed_up(&done, pruned, args.output)
}

fn say_backed_up(done: &BackedUp, pruned: usize, output: Output) -> anyhow::Result<()> {
    let BackedUp { name, note, copied_blobs, copied_bytes } = done;
    let (count, bytes) = (note.blobs.len(), ByteSize::b(*copied_bytes));
    let mut sentence =
        format!("backup {name}: {count} blobs, of which {copied_blobs} ({bytes}) were copied now");
    if pruned > 0 {
        sentence = format!("{sentence}; {pruned} older backups were removed");
    }
    let document = json!({
        "name": name, "taken_at": note.taken_at, "blobs": count, "copied_blobs": copied_blobs,
        "copied_bytes": copied_bytes, "pruned": pruned, "damaged": note.damaged,
    });
    let damaged = note.damaged.iter().map(|digest| format!("not in the backup: {digest}"));
    let lines: Vec<_> = [sentence].into_iter().chain(damaged).collect();
    output.result(&lines.join("\n"), &document)?;
    if !note.damaged.is_empty() {
        bail!(
            "{} files are damaged in the store and not in the backup; `imagedepot scrub` tells which",
            note.damaged.len()
        );
    }
    Ok(())
}

/// A bucket of the store's own service is reached with the store's options.
pub fn open_backup_store(place: &str, config: &Config) -> anyhow::Result<BackupStore> {
    if let Some(folder) = folder_of(place) {
        // The place has its files' bytes in `blobs`, as the data folder has.
        must_be_beside(&folder, config)?;
        must_be_beside(&folder.join("blobs"), config)?;
    }
    BackupStore::open(place, options_for(place, config)).with_context(|| place.to_owned())
}

/// The same for a place that is read.
pub fn open_written_backup_store(place: &str, config: &Config) -> anyhow::Result<BackupStore> {
    BackupStore::open_existing(place, options_for(place, config)).with_context(|| place.to_owned())
}

fn folder_of(place: &str) -> Option<PathBuf> {
    match Url::parse(place) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(_) => None,
        Err(_) => Some(place.into()),
    }
}

fn options_for(place: &str, config: &Config) -> BTreeMap<String, String> {
    let scheme = config.store.url.as_ref().map(Url::scheme);
    let is_same = scheme.is_some_and(|scheme| place.starts_with(&format!("{scheme}://")));
    if is_same { config.store.options.clone() } else { BTreeMap::default() }
}
