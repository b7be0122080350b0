//! The errors that keep the server from starting or make it stop.

use crate::config::ConfigError;
use crate::storage::StorageError;

/// The reason why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Catalog(#[from] crate::catalog::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{what}: {source}")]
    Listen { what: String, source: std::io::Error },
    #[error("{0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[cfg(feature = "negotiate")]
    #[error("{0}")]
    Keytab(#[from] crate::access::negotiate::UnusableKeytab),
    #[error("{0}")]
    Password(#[from] crate::access::password::UnfitPassword),
    #[error("access.oidc: {0}")]
    Issuer(#[from] reqwest::Error),
}
