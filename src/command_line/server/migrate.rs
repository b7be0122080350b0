//! `imagedepot migrate`: brings the catalog's schema up to this version.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::data::{DataArgs, must_be_there};
use crate::model::Ids;
use crate::server;
use crate::storage::Db;
use crate::storage::db::newest_schema;
use crate::storage::instance::Instance;

/// The arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Rewrite the SQLite file without the disk space that it no longer uses; no server may run on it meanwhile
    #[arg(long)]
    vacuum: bool,
}

pub async fn run(args: &MigrateArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let data = &args.data.data;
    must_be_there(&config)?;
    let held = if args.vacuum { Some(Instance::take(data, Ids)?) } else { None };
    let db = server::open_database(&config).await?;
    let done = migrate(&db, args).await;
    db.close().await;
    drop(held);
    done
}

async fn migrate(db: &Db, args: &MigrateArgs) -> anyhow::Result<()> {
    let data = &args.data.data;
    let is_behind = db.is_behind().await?;
    server::migrate(db, data).await?;
    let saved = is_behind.then(|| data.join(server::SAVED_CATALOGS));
    if args.vacuum {
        db.vacuum().await?;
    }
    let saved_in = saved.as_ref().map(|saved| {
        format!("the rows from before the migration are saved in {}", saved.display())
    });
    let migrated = "the catalog has the schema of this version".to_owned();
    let written = args.vacuum.then(|| "the catalog's file was rewritten".to_owned());
    let lines: Vec<_> = saved_in.into_iter().chain([migrated]).chain(written).collect();
    let document = json!({
        "migrated": is_behind, "saved_in": saved, "schema": newest_schema(), "vacuumed": args.vacuum,
    });
    Ok(args.data.output.result(&lines.join("\n"), &document)?)
}
