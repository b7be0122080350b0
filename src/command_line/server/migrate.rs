//! `imagedepot migrate`.

use std::path::Path;

use clap::Args;

use super::data::DataArgs;
use crate::model::Ids;
use crate::server;
use crate::storage::Db;
use crate::storage::instance::Instance;

/// Where the catalog is, and what else is to be done with it.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Write `SQLite`'s file anew, without the room that it does not use any more; no server may run on it
    #[arg(long)]
    vacuum: bool,
}

pub async fn run(args: &MigrateArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let data = &args.data.data;
    std::fs::create_dir_all(data)?;
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
    if is_behind {
        println!("its rows before are saved in {}", data.join(server::SAVED_CATALOGS).display());
    }
    println!("the catalog has this version's schema");
    if args.vacuum {
        db.vacuum().await?;
        println!("its file was written anew");
    }
    Ok(())
}
