//! `--data`, and the catalog that the settings and the data folder say: opened for a command that works on it itself.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::catalog::Catalog;
use crate::config::{Config, ConfigError, DEFAULT_DATA};
use crate::model::Ids;
use crate::server;
use crate::storage::instance::Instance;

/// Where the data lies.
#[derive(Debug, Args)]
pub(in crate::command_line) struct DataArgs {
    /// Folder of the data, for what the settings leave open
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_DATA)]
    pub(super) data: PathBuf,
}

impl DataArgs {
    pub(super) fn config(&self, file: Option<&Path>) -> Result<Config, ConfigError> {
        Config::read(file)?.complete(&self.data, None)
    }

    /// The catalog itself, also while a server runs on it. To be closed.
    pub(super) async fn open_catalog(&self, file: Option<&Path>) -> anyhow::Result<Catalog> {
        let config = self.config(file)?;
        let db = server::open_database(&config).await.context("the catalog")?;
        // No server of its own, so a holder of its own in work that one at a time does.
        Ok(server::open_catalog(&config, &self.data, db, Ids.next())?)
    }
}

/// Refuses a folder within the store or the tree: what is written there would be taken for theirs, served with the tree, and
/// gone with them.
pub(super) fn must_be_beside(folder: &Path, config: &Config) -> anyhow::Result<()> {
    let folder = resolved(folder)?;
    for (name, url) in [("store", &config.store.url), ("tree", &config.tree.url)] {
        let own = url.as_ref().and_then(|url| url.to_file_path().ok());
        if let Some(own) = own
            && folder.starts_with(resolved(&own)?)
        {
            bail!("{} is within the {name}: name a place beside it", folder.display());
        }
    }
    Ok(())
}

/// The path without symbolic links, as far as it is there.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return Ok(real.join(rest));
        }
    }
    Ok(path)
}

/// A catalog that is to be filled, with this version's schema; and the hold on its data folder, so that nobody serves from
/// it meanwhile. To be closed.
pub(super) async fn open_to_fill(
    config: &Config,
    data: &Path,
) -> anyhow::Result<(Catalog, Instance)> {
    let instance = Instance::take(data, Ids)?;
    let db = server::open_database(config).await.context("the catalog")?;
    server::migrate(&db, data).await?;
    let catalog = server::open_catalog(config, data, db, instance.id())?;
    Ok((catalog, instance))
}
