//! `imagedepot restore`: fills an empty catalog and an empty store from a backup.

use std::path::Path;

use bytesize::ByteSize;
use clap::Args;
use serde_json::json;

use super::backup::open_written_backup_store;
use super::data::{DataArgs, open_to_fill};
use super::refusal::Incomplete;
use crate::client::output::Output;
use crate::client::{Exit, Failure};
use crate::storage::backup_store::Place;
use crate::upkeep::backup::{RestoreOrder, Restored, backups};
use crate::upkeep::rebuild::NUMBERS_LEFT_OUT;

/// The arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Place of the backups: a folder, or a bucket such as `s3://backups/imagedepot`
    #[arg(long, value_name = "PLACE")]
    from: Place,
    /// Name of the backup [default: the newest]
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
    /// Restore only the catalog's rows, for a store that still has its bytes
    #[arg(long)]
    rows_only: bool,
    /// Number of revision numbers to skip in each image, in case they were given out after the backup
    #[arg(long, value_name = "NUMBER", default_value_t = NUMBERS_LEFT_OUT,
        value_parser = clap::value_parser!(i64).range(0..1_000_000))]
    numbers_left_out: i64,
    /// List the backups in the place, and restore none
    #[arg(long)]
    list: bool,
}

pub async fn run(args: RestoreArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let backup_store = open_written_backup_store(&args.from, &config)?;
    let names = backups(&backup_store).await?;
    if args.list {
        let sentence =
            if names.is_empty() { "there are no backups".to_owned() } else { names.join("\n") };
        return Ok(args.data.output.result(&sentence, &json!({"backups": names}))?);
    }
    let absent = |what: String| Failure::new(Exit::NotFound, format!("{what} in {}", args.from));
    let name = match args.at {
        Some(name) if !names.contains(&name) => {
            return Err(absent(format!("there is no backup {name}")).into());
        }
        Some(name) => name,
        None => names.last().ok_or_else(|| absent("there is no backup".to_owned()))?.clone(),
    };
    let order = RestoreOrder { rows_only: args.rows_only, numbers_left_out: args.numbers_left_out };
    let (catalog, _instance) = open_to_fill(&config, &args.data.data).await?;
    let done = catalog.restore(&backup_store, &name, order, &args.data.data).await;
    catalog.close().await;
    say_restored(&done?, args.rows_only, args.data.output)
}

fn say_restored(done: &Restored, rows_only: bool, output: Output) -> anyhow::Result<()> {
    let Restored { name, note, rows, blobs, bytes, lost } = done;
    let what = if rows_only {
        format!(
            "{blobs} blobs, compared with the store by their sizes only; `imagedepot scrub` reads them"
        )
    } else {
        format!("{blobs} blobs, {}; each was compared with its digest", ByteSize::b(*bytes))
    };
    let sentence = format!("restored {name}, taken at {}: {rows} rows, {what}", note.taken_at);
    let document = json!({
        "name": name, "taken_at": note.taken_at, "rows": rows, "blobs": blobs, "bytes": bytes, "lost": lost,
    });
    output.result(&sentence, &document)?;
    if !lost.is_empty() {
        let detail = format!(
            "{} files are in quarantine, because no intact bytes of them were found; `imagedepot scrub --status` lists them",
            lost.len()
        );
        return Err(Incomplete(detail).into());
    }
    Ok(())
}
