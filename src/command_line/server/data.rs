//! `--data`, and the catalog to which the settings and the data folder lead, opened for a command that works directly
//! on it.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::catalog::Catalog;
use crate::client::folder::folder;
use crate::client::output::Output;
use crate::client::{Exit, Failure};
use crate::config::{Config, ConfigError, DEFAULT_DATA};
use crate::model::Ids;
use crate::server;
use crate::storage::instance::Instance;

/// The arguments of all commands that work on the catalog.
#[derive(Debug, Args)]
pub(in crate::command_line) struct DataArgs {
    /// Data folder; contains everything for which the settings name no other place
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_DATA, value_parser = folder())]
    pub(super) data: PathBuf,
    /// Sentences for people or JSON for scripts
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(super) output: Output,
}

impl DataArgs {
    pub(super) fn config(&self, file: Option<&Path>) -> Result<Config, ConfigError> {
        Config::read(file)?.complete(&self.data, None)
    }

    /// Opens the catalog, also while a server runs on it. The caller has to close it.
    pub(super) async fn open_catalog(&self, file: Option<&Path>) -> anyhow::Result<Catalog> {
        let config = self.config(file)?;
        must_be_there(&config)?;
        let db = server::open_database(&config).await.context("cannot open the catalog")?;
        if !db.has_schema().await? {
            db.close().await;
            return Err(no_catalog("in the database").into());
        }
        // This is no server, so it gets an id of its own as the holder of jobs that only one process at a time may do.
        Ok(server::open_catalog(&config, &self.data, db, Ids.next())?)
    }
}

/// Fails if the catalog is a file that does not exist. Only commands that begin a catalog (`serve`, `restore`,
/// `import`) make that file, and not a command that was given another folder than the server's.
pub(super) fn must_be_there(config: &Config) -> Result<(), Failure> {
    let url = config.catalog.url.as_deref().unwrap_or_default();
    match url.strip_prefix("sqlite:").map(Path::new) {
        Some(path) if std::fs::metadata(path).is_err_and(|error| error.kind() == NotFound) => {
            Err(no_catalog(&format!("at {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// The problem code of a command that finds no catalog.
pub(super) const CATALOG_NOT_FOUND: &str = "catalog_not_found";

fn no_catalog(place: &str) -> Failure {
    let message = format!(
        "there is no catalog {place}: set --data and --config as for the server, which creates the catalog when it starts"
    );
    Failure::new(Exit::NotFound, message).with_code(CATALOG_NOT_FOUND)
}

/// Refuses to write to a service's data as another user, usually root, because the service could not read what was
/// written. The catalog's file, the store's folder and the data folder must belong to the current user, as far as they
/// exist.
pub(super) fn must_belong_to_current_user(config: &Config, data: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let catalog = config.catalog.url.as_deref().and_then(|url| url.strip_prefix("sqlite:"));
    let store = config.store.url.as_ref().and_then(|url| url.to_file_path().ok());
    let me = rustix::process::geteuid().as_raw();
    for path in catalog.map(PathBuf::from).into_iter().chain(store).chain([data.to_owned()]) {
        let Ok(owner) = std::fs::metadata(&path).map(|there| there.uid()) else { continue };
        if owner != me {
            let message = format!(
                "{} belongs to the user with the id {owner}, but this command runs as {me}, and the server could not use the \
                 files that it writes; run it as that user (`sudo -u '#{owner}' imagedepot …`)",
                path.display()
            );
            return Err(Failure::new(Exit::Refused, message));
        }
    }
    Ok(())
}

/// Refuses a folder within the store or the tree: its files would be taken for theirs, served with the tree, and
/// deleted with them.
pub(super) fn must_be_outside_store_and_tree(folder: &Path, config: &Config) -> anyhow::Result<()> {
    let folder = resolved(folder)?;
    for (name, url) in [("store", &config.store.url), ("tree", &config.tree.url)] {
        let own = url.as_ref().and_then(|url| url.to_file_path().ok());
        if let Some(own) = own
            && folder.starts_with(resolved(&own)?)
        {
            bail!("{} is inside the {name}: choose a place outside it", folder.display());
        }
    }
    Ok(())
}

/// Returns the path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return Ok(real.join(rest));
        }
    }
    Ok(path)
}

/// Opens a catalog that is to be filled, with this version's schema. Also returns the hold on its data folder, which
/// keeps servers out meanwhile. The caller has to close the catalog.
pub(super) async fn open_to_fill(
    config: &Config,
    data: &Path,
) -> anyhow::Result<(Catalog, Instance)> {
    must_belong_to_current_user(config, data)?;
    let instance = Instance::take(data, Ids)?;
    let db = server::open_database(config).await.context("cannot open the catalog")?;
    server::migrate(&db, data).await?;
    let catalog = server::open_catalog(config, data, db, instance.id())?;
    Ok((catalog, instance))
}
