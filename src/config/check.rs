//! What one key alone cannot tell: values that do not fit together or do not exist.

use std::net::SocketAddr;

use bytesize::ByteSize;
use url::Url;

use super::{Config, ConfigError, local_folder};
use crate::model::ChannelName;
use crate::storage::blobs::check_bucket;

impl Config {
    /// Says what is wrong, and where.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.rules()?;
        if self.tree.alias.parse::<ChannelName>().is_err()
            || self.tree.alias.eq_ignore_ascii_case("api")
        {
            return Err(ConfigError("tree.alias: one plain path segment, and not api".to_owned()));
        }
        if self.checks.period.as_secs() < 30 {
            return Err(ConfigError("checks.period: at least 30s".to_owned()));
        }
        let catalog = self.catalog.url.as_deref().unwrap_or_default();
        if !["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| catalog.starts_with(scheme))
        {
            return Err(ConfigError::new("catalog.url: sqlite:PATH or postgres://…"));
        }
        self.check_places()?;
        for (number, listener) in self.listener.iter().enumerate() {
            super::listener::check(listener, self)
                .map_err(|error| ConfigError(format!("listener {}: {error}", number + 1)))?;
        }
        self.check_addresses()?;
        self.check_access()
    }

    /// Port 0 is another one each time.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        let listeners = self.listener.iter().map(|listener| listener.address);
        let addresses: Vec<_> = listeners.chain(self.metrics.listen).collect();
        let is_twice = |(at, address): (usize, &SocketAddr)| {
            address.port() != 0 && addresses[..at].contains(address)
        };
        match addresses.iter().enumerate().find(|each| is_twice(*each)) {
            Some((_, address)) => Err(ConfigError::new(format!(
                "{address} stands there twice, among the listeners' addresses and metrics.listen"
            ))),
            None => Ok(()),
        }
    }

    /// The tree is served as it stands: blobs below it would be, too. It lies where they do, or publishing would
    /// move all bytes through here.
    fn check_places(&self) -> Result<(), ConfigError> {
        let (Some(store), Some(tree)) = (&self.store.url, &self.tree.url) else { return Ok(()) };
        if store.scheme() == "file" && self.tree.redirect {
            return Err(ConfigError::new(
                "tree.redirect: the store is a folder, which has no addresses",
            ));
        }
        for (key, url) in [("store.url", store), ("tree.url", tree)] {
            if !["file", "s3", "az", "gs"].contains(&url.scheme()) {
                let forms =
                    "file:///…, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX";
                return Err(ConfigError(format!("{key}: no folder and no bucket; it is {forms}")));
            }
        }
        if self.store.multipart_copy_above > ByteSize::gib(5) {
            return Err(ConfigError::new(
                "store.multipart_copy_above: at most 5 GiB, for S3 copies no more at once",
            ));
        }
        if store.scheme() != "file" {
            check_bucket(store, self.store.options.clone())
                .map_err(|error| ConfigError(error.to_string()))?;
        }
        if store.scheme() == "file" && tree.scheme() == "file" {
            let tree = local_folder("tree.url", Some(tree))?;
            let store = local_folder("store.url", Some(store))?;
            if store.starts_with(&tree) || tree.starts_with(&store) {
                return Err(ConfigError::new(
                    "store.url and tree.url: neither may lie in the other",
                ));
            }
            return Ok(());
        }
        if store.scheme() != tree.scheme() {
            return Err(ConfigError::new(
                "tree.url: a folder where store.url is one, else a bucket of the same service, such as s3://bucket/MEDVImages",
            ));
        }
        if store.scheme() != "s3" && store.host_str() != tree.host_str() {
            return Err(ConfigError::new(
                "tree.url: another prefix of the store's container; only S3 copies from one bucket to another",
            ));
        }
        let prefix = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
        if store.host_str() == tree.host_str() && prefix(store).starts_with(&prefix(tree)) {
            return Err(ConfigError::new(
                "tree.url: the blobs of store.url lie below it, and whoever reads the tree could read them",
            ));
        }
        Ok(())
    }
}
