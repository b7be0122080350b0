//! Checks that blobs can be published into the tree, and that neither of the two places lies within the other.

use std::path::PathBuf;

use bytesize::ByteSize;
use url::Url;

use crate::config::error::ConfigError;
use crate::config::places::local_folder;
use crate::config::settings::Config;
use crate::storage::blobs::check_bucket;

/// The forms in which a place is written.
const FORMS: &str = "file:///…, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX";

impl Config {
    /// Checks the places of the blobs and the tree. Both must be folders or buckets of one service: otherwise
    /// publishing would move all bytes through this server. They must be apart, because the tree is served as it is.
    pub(super) fn check_places(&self) -> Result<(), ConfigError> {
        let (Some(store), Some(tree)) = (&self.store.url, &self.tree.url) else { return Ok(()) };
        for (key, url) in [("store.url", store), ("tree.url", tree)] {
            if !["file", "s3", "az", "gs"].contains(&url.scheme()) {
                return Err(ConfigError(format!(
                    "{key}: must be a folder or a bucket, written as {FORMS}"
                )));
            }
        }
        if store.scheme() != tree.scheme() {
            return Err(ConfigError::new(
                "tree.url: must be a folder if store.url is a folder, else a bucket of the same service, such as s3://bucket/MEDVImages",
            ));
        }
        if store.scheme() == "file" {
            self.check_folders(store, tree)
        } else {
            self.check_buckets(store, tree)
        }
    }

    fn check_folders(&self, store: &Url, tree: &Url) -> Result<(), ConfigError> {
        if self.tree.redirect {
            return Err(ConfigError::new(
                "tree.redirect: needs a bucket, because a folder has no addresses to redirect to",
            ));
        }
        let tree = local_folder("tree.url", Some(tree))?;
        let store = local_folder("store.url", Some(store))?;
        if store.starts_with(&tree) || tree.starts_with(&store) {
            return Err(ConfigError::new(
                "store.url and tree.url: neither may be inside the other",
            ));
        }
        Ok(())
    }

    fn check_buckets(&self, store: &Url, tree: &Url) -> Result<(), ConfigError> {
        if self.store.multipart_copy_above > ByteSize::gib(5) {
            return Err(ConfigError::new(
                "store.multipart_copy_above: must be at most 5 GiB, because S3 copies no more at once",
            ));
        }
        check_bucket(store, self.store.options.clone())
            .map_err(|error| ConfigError(error.to_string()))?;
        let is_same = store.host_str() == tree.host_str();
        if store.scheme() != "s3" && !is_same {
            return Err(ConfigError::new(
                "tree.url: must be another prefix of the store's container, because only S3 copies from one bucket to another",
            ));
        }
        let prefix = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
        if is_same && prefix(store).starts_with(&prefix(tree)) {
            return Err(ConfigError::new(
                "tree.url: must not contain store.url, because anyone who reads the tree could read the blobs",
            ));
        }
        Ok(())
    }

    /// Returns the tree's folder on this machine.
    pub fn tree_folder(&self) -> Result<PathBuf, ConfigError> {
        local_folder("tree.url", self.tree.url.as_ref())
    }
}
