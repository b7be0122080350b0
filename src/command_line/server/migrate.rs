//! `imagedepot migrate`.

use std::path::Path;

use super::data::DataArgs;
use crate::server;

pub async fn run(args: &DataArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.config(file)?;
    std::fs::create_dir_all(&args.data)?;
    let db = server::open_database(&config).await?;
    let is_behind = db.is_behind().await?;
    server::migrate(&db, &args.data).await?;
    db.close().await;
    if is_behind {
        println!(
            "its rows before are saved in {}",
            args.data.join(server::SAVED_CATALOGS).display()
        );
    }
    println!("the catalog has this version's schema");
    Ok(())
}
