//! Opens everything that the server works with, step by step.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::ServerError;
use super::handshake;
use crate::access::password;
use crate::api::update_check;
use crate::catalog::{Catalog, CatalogParts, upload};
use crate::config::{Config, ConfigError, secret_from_environment};
use crate::model::{AccountName, Clock, Ids};
use crate::storage::blobs::Findings;
use crate::storage::instance::Instance;
use crate::storage::tree::Tree;
use crate::storage::{Blobs, Db, StorageError};
use crate::telemetry;
use crate::upkeep::backup::save_rows;

/// The name of the administrator that the first start creates.
pub const ADMIN: &str = "admin";

/// The folder within the data folder in which catalogs are saved before they are migrated.
pub const SAVED_CATALOGS: &str = "catalogs-before-migrations";

/// The resources that a server holds while it runs.
pub struct Opened {
    pub catalog: Catalog,
    pub metrics: PrometheusHandle,
    pub first_admin: Option<FirstAdmin>,
    /// Keeps other servers out of the data folder.
    _instance: Instance,
    /// Keeps other servers from the same SQLite catalog, whatever their data folders are.
    _catalog: Option<std::fs::File>,
}

/// The administrator that this start created.
pub struct FirstAdmin {
    pub password: SecretString,
    /// The file that contains the password, if the password was generated.
    pub file: Option<PathBuf>,
}

pub(super) async fn open(config: &Config, data: &Path) -> Result<Opened, ServerError> {
    let instance = Instance::take(data, Ids)?;
    let db = open_database(config).await?;
    let held = db.hold_for_server()?;
    migrate(&db, data).await?;
    let catalog = open_catalog(config, data, db, instance.id())?;
    try_store(&catalog).await?;
    claim_store(&catalog).await?;
    catalog.recover().await?;
    let first_admin =
        if catalog.is_new().await? { create_admin(&catalog, data).await? } else { None };
    catalog.try_refresh().await?;
    let metrics = telemetry::metrics::start()?;
    // Counters whose labels only other modules know.
    update_check::begin_at_zero();
    upload::begin_at_zero();
    handshake::begin_at_zero();
    catalog.begin_at_zero();
    Ok(Opened { catalog, metrics, first_admin, _instance: instance, _catalog: held })
}

pub async fn open_database(config: &Config) -> Result<Db, ServerError> {
    let url = config.catalog.url.as_deref().unwrap_or_default();
    Ok(Db::open(url, config.catalog.connections).await?)
}

/// Brings the schema up to this program's version, after saving the current rows in the data folder.
pub async fn migrate(db: &Db, data: &Path) -> Result<(), ServerError> {
    if db.is_behind().await? {
        let folder = data.join(SAVED_CATALOGS);
        let name = save_rows(db, &folder, Clock::System.now()).await?;
        tracing::info!(folder = %folder.display(), name, "the catalog's rows were saved before the migration");
    }
    Ok(db.migrate().await?)
}

pub fn open_catalog(
    config: &Config,
    data: &Path,
    db: Db,
    instance: uuid::Uuid,
) -> Result<Catalog, ServerError> {
    let store =
        config.store.url.as_ref().ok_or_else(|| ConfigError::new("store.url is not set"))?;
    let blobs = Blobs::open(store, config.store.options.clone(), &data.join("spool"))?;
    let tree = open_tree(config)?;
    let (rules, clock) = (config.rules()?, Clock::System);
    Ok(Catalog::new(CatalogParts { db, blobs, tree, rules, clock, ids: Ids, instance }))
}

/// Logs what the store supports. Refuses a store that would lose data or denies access. The server starts even if the
/// store is unreachable: only requests that need it have to wait, and update checks go on.
async fn try_store(catalog: &Catalog) -> Result<(), ServerError> {
    match catalog.probe_store().await {
        Ok(None) => Ok(()),
        Ok(Some(Findings { conditional_writes, checksums })) => {
            tracing::info!(conditional_writes, checksums, copies = true, "the store was checked");
            Ok(())
        }
        Err(error) if error.is_temporary() => {
            tracing::warn!(%error, "the store could not be checked, and is used anyway");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Claims the store for this catalog. An unreachable store is claimed at the next start.
async fn claim_store(catalog: &Catalog) -> Result<(), ServerError> {
    match catalog.claim_store().await {
        Err(crate::catalog::Error::Storage(error)) if error.is_temporary() => Ok(()),
        other => Ok(other?),
    }
}

fn open_tree(config: &Config) -> Result<Tree, ServerError> {
    let url = config.tree.url.as_ref().ok_or_else(|| ConfigError::new("tree.url is not set"))?;
    if url.scheme() == "file" {
        return Ok(Tree::folder(&config.tree_folder()?)?);
    }
    let copy_above = config.store.multipart_copy_above.as_u64();
    Ok(Tree::bucket(url, config.store.options.clone(), copy_above)?)
}

/// Creates the administrator. The password comes from the environment, or it is generated and written to a file that
/// only the owner can read. The file is written before the account exists, so that the password is never lost.
async fn create_admin(catalog: &Catalog, data: &Path) -> Result<Option<FirstAdmin>, ServerError> {
    let (password, file) =
        if let Some(password) = secret_from_environment("IMAGEDEPOT_ADMIN_PASSWORD")? {
            (password, None)
        } else {
            let password: SecretString = Ids.password().into();
            let file = data.join("admin-password");
            write_secret(&file, &password)?;
            (password, Some(file))
        };
    let name: AccountName = ADMIN.parse().map_err(crate::catalog::Error::from)?;
    let hash = password::hash_in_background(name.as_str(), password.clone()).await?;
    if catalog.initialise(&name, &hash).await? {
        return Ok(Some(FirstAdmin { password, file }));
    }
    // Another replica was faster: its password is the valid one, and this file would mislead.
    if let Some(file) = file {
        std::fs::remove_file(&file)
            .map_err(|source| StorageError::File { what: file.display().to_string(), source })?;
    }
    Ok(None)
}

fn write_secret(path: &Path, secret: &SecretString) -> Result<(), StorageError> {
    let fail = |source| StorageError::File { what: path.display().to_string(), source };
    // A new file, because an existing one would keep its mode, whoever may read it.
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(fail(error));
    }
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    writeln!(file, "{}", secret.expose_secret()).and_then(|()| file.sync_all()).map_err(fail)
}
