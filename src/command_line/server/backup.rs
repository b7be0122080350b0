//! `imagedepot backup`: copies the catalog and all stored bytes to a folder or a bucket.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use serde_json::json;
use url::Url;

use super::data::{DataArgs, must_be_outside_store_and_tree};
use super::refusal::Incomplete;
use crate::catalog::Catalog;
use crate::client::output::{Output, complain};
use crate::config::Config;
use crate::model::local_folder::device;
use crate::storage::backup_store::{BackupStore, Place};
use crate::upkeep::backup::{BackedUp, prune};

/// The arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Folder, or bucket such as `s3://backups/imagedepot`; bytes that are already there are not copied again
    #[arg(long, value_name = "PLACE")]
    to: Place,
    /// Number of backups to keep there, including this one; older ones are removed [default: all are kept]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

pub async fn run(args: BackupArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    // The catalog is opened first, so that no place is made if there is nothing to put there.
    let catalog = args.data.open_catalog(file).await?;
    let done = back_up(&args, &config, &catalog).await;
    catalog.close().await;
    let (done, pruned) = done?;
    let beside = is_beside_the_store(&args.to, &config);
    if beside {
        complain(&format!(
            "imagedepot: warning: {} is on the same disk as the store: if the disk fails, both are lost",
            args.to
        ));
    }
    say_backed_up(&done, pruned, beside, args.data.output)
}

async fn back_up(
    args: &BackupArgs,
    config: &Config,
    catalog: &Catalog,
) -> anyhow::Result<(BackedUp, usize)> {
    let backup_store = match open_backup_store(&args.to, config) {
        Ok(backup_store) => backup_store,
        Err(error) => {
            catalog.backup_failed(&format!("{error:#}")).await;
            return Err(error);
        }
    };
    let done = catalog.back_up(&backup_store, &args.data.data).await;
    let done = done.inspect_err(|_| backup_store.remove_new_folders())?;
    let pruned = match args.keep {
        Some(keep) => prune(&backup_store, usize::try_from(keep)?, &done.name).await?,
        None => 0,
    };
    Ok((done, pruned))
}

/// Reports whether the backup is on the store's disk, so that one failing disk would take both.
fn is_beside_the_store(place: &Place, config: &Config) -> bool {
    let store = config.store.url.as_ref().and_then(|url| url.to_file_path().ok());
    match (place, store) {
        (Place::Folder(folder), Some(store)) => {
            device(folder).is_some_and(|disk| device(&store) == Some(disk))
        }
        _ => false,
    }
}

fn say_backed_up(
    done: &BackedUp,
    pruned: usize,
    beside: bool,
    output: Output,
) -> anyhow::Result<()> {
    let BackedUp { name, note, copied_blobs, copied_bytes } = done;
    let (count, bytes) = (note.blobs.len(), ByteSize::b(*copied_bytes));
    let mut sentence =
        format!("backup {name}: {count} blobs, of which {copied_blobs} ({bytes}) were copied now");
    if pruned > 0 {
        sentence = format!("{sentence}; {pruned} older backups were removed");
    }
    let document = json!({
        "name": name, "taken_at": note.taken_at, "blobs": count, "copied_blobs": copied_blobs,
        "copied_bytes": copied_bytes, "pruned": pruned, "damaged": note.damaged, "on_the_stores_disk": beside,
    });
    let damaged = note.damaged.iter().map(|digest| format!("not in the backup: {digest}"));
    let lines: Vec<_> = [sentence].into_iter().chain(damaged).collect();
    output.result(&lines.join("\n"), &document)?;
    if !note.damaged.is_empty() {
        let detail = format!(
            "{} files are damaged in the store and missing from the backup; `imagedepot scrub` reports them",
            note.damaged.len()
        );
        return Err(Incomplete(detail).into());
    }
    Ok(())
}

/// Opens a place for writing. A bucket of the store's own service is reached with the store's options.
pub fn open_backup_store(place: &Place, config: &Config) -> anyhow::Result<BackupStore> {
    if let Place::Folder(folder) = place {
        // The place keeps the files' bytes in `blobs`, as the data folder does.
        must_be_outside_store_and_tree(folder, config)?;
        must_be_outside_store_and_tree(&folder.join("blobs"), config)?;
    }
    BackupStore::open(place, options_for(place, config)).with_context(|| place.to_string())
}

/// Opens an existing place for reading, likewise.
pub fn open_written_backup_store(place: &Place, config: &Config) -> anyhow::Result<BackupStore> {
    BackupStore::open_existing(place, options_for(place, config)).with_context(|| place.to_string())
}

fn options_for(place: &Place, config: &Config) -> BTreeMap<String, String> {
    let Place::Bucket(bucket) = place else { return BTreeMap::default() };
    let is_same = config.store.url.as_ref().map(Url::scheme) == Some(bucket.scheme());
    if is_same { config.store.options.clone() } else { BTreeMap::default() }
}
