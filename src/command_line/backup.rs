//! `imagedepot backup` and `imagedepot restore`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use clap::Args;
use serde_json::json;

use super::DataArgs;
use crate::catalog::backup::{BackedUp, RestoreOrder, Restored, backups, prune};
use crate::catalog::rebuild::NUMBERS_LEFT_OUT;
use crate::client::output::Output;
use crate::config::Config;
use crate::model::Ids;
use crate::server;
use crate::storage::instance::Instance;
use crate::storage::vault::Vault;

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

/// Where it comes from.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A folder, or a bucket such as `s3://backups/imagedepot`
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The backup's name [default: the newest]
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
    /// Take the rows alone, for a store that has its bytes
    #[arg(long)]
    rows_only: bool,
    /// How many revision numbers to leave out, for those given out after the backup
    #[arg(long, value_name = "NUMBER", default_value_t = NUMBERS_LEFT_OUT,
        value_parser = clap::value_parser!(i64).range(0..1_000_000))]
    numbers_left_out: i64,
    /// Say which backups are there, and restore none
    #[arg(long)]
    list: bool,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub async fn back_up(args: BackupArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let vault = open_vault(&args.to, &config)?;
    let catalog = args.data.open_catalog(file).await?;
    let done = Box::pin(catalog.back_up(&vault, &args.data.data)).await;
    catalog.close().await;
    let done = done?;
    let pruned = match args.keep {
        Some(keep) => Box::pin(prune(&vault, usize::try_from(keep)?, &done.name)).await?,
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

pub async fn restore(args: RestoreArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let vault = open_vault(&args.from, &config)?;
    let names = backups(&vault).await?;
    if args.list {
        let sentence = if names.is_empty() { "no backups".to_owned() } else { names.join("\n") };
        return Ok(args.output.result(&sentence, &json!({"backups": names}))?);
    }
    let name = match args.at {
        Some(name) if !names.contains(&name) => bail!("there is no backup {name} in {}", args.from),
        Some(name) => name,
        None => {
            names.last().with_context(|| format!("there is no backup in {}", args.from))?.clone()
        }
    };
    let (data, numbers_left_out) = (&args.data.data, args.numbers_left_out);
    let order = RestoreOrder { rows_only: args.rows_only, numbers_left_out };
    // Nobody serves from what is being filled.
    let instance = Instance::take(data, Ids)?;
    let db = server::open_database(&config).await.context("the catalog")?;
    server::migrate(&db, data).await?;
    let catalog = server::open_catalog(&config, data, db, instance.id())?;
    let done = Box::pin(catalog.restore(&vault, &name, order, data)).await;
    catalog.close().await;
    say_restored(&done?, args.rows_only, args.output)
}

fn say_restored(done: &Restored, rows_only: bool, output: Output) -> anyhow::Result<()> {
    let Restored { name, note, rows, blobs, bytes, lost } = done;
    let what = if rows_only {
        format!("{blobs} blobs, which the store has by their sizes: `imagedepot scrub` reads them")
    } else {
        format!("{blobs} blobs, {}; each was compared with its digest", ByteSize::b(*bytes))
    };
    let sentence = format!("restored {name}, taken at {}: {rows} rows, {what}", note.taken_at);
    let document = json!({
        "name": name, "taken_at": note.taken_at, "rows": rows, "blobs": blobs, "bytes": bytes, "lost": lost,
    });
    output.result(&sentence, &document)?;
    if !lost.is_empty() {
        bail!(
            "{} files are in quarantine, for the backup has no sound bytes of them; `imagedepot scrub --status` tells which",
            lost.len()
        );
    }
    Ok(())
}

/// A bucket of the store's own service is reached with the store's options.
pub fn open_vault(place: &str, config: &Config) -> anyhow::Result<Vault> {
    let scheme = config.store.url.as_ref().map(url::Url::scheme);
    let is_same = scheme.is_some_and(|scheme| place.starts_with(&format!("{scheme}://")));
    let options = if is_same { config.store.options.clone() } else { BTreeMap::default() };
    Vault::open(place, options).with_context(|| place.to_owned())
}
