//! Small commands that need the catalog at most: `imagedepot migrate`, `imagedepot openapi`.

use std::io::Write as _;
use std::path::Path;

use super::DataArgs;
use crate::api::documentation;
use crate::server;

pub async fn migrate(args: &DataArgs, file: Option<&Path>) -> anyhow::Result<()> {
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

/// The document, as `openapi/imagedepot.json` keeps it.
pub fn openapi() -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(documentation::document_text().as_bytes())?)
}
