//! The environment of test sessions: a catalog in a folder, and the bytes in another folder or in a bucket of a real S3
//! server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::TryStreamExt as _;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::catalog::image::ImageDefinition;
use crate::catalog::{Actor, Catalog, CatalogParts, Rules};
use crate::model::{Clock, File, Ids, ImageKind, Upload};
use crate::storage::blobs::test_bucket::TestBucket;
use crate::storage::tree::Tree;
use crate::storage::{Blobs, CONNECTIONS, Db};

pub(super) const IMAGE: &str = "win7-office";

pub(super) struct Environment {
    pub(super) now: Arc<AtomicU64>,
    pub(super) runtime: Runtime,
    pub(super) bucket: Option<TestBucket>,
    folder: tempfile::TempDir,
}

impl Environment {
    pub(super) fn folder() -> Self {
        Self::new(None, tempfile::tempdir().unwrap())
    }

    pub(super) fn bucket() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().file_name().unwrap().to_string_lossy().replace('.', "t");
        let runtime = Runtime::new().unwrap();
        let bucket = runtime.block_on(TestBucket::new(&prefix));
        Self::new(Some(bucket), folder)
    }

    fn new(bucket: Option<TestBucket>, folder: tempfile::TempDir) -> Self {
        let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let environment = Self { now, runtime, bucket, folder };
        environment.runtime.block_on(environment.prepare());
        environment
    }

    async fn prepare(&self) {
        let image = ImageDefinition::bare(IMAGE.parse().unwrap(), ImageKind::Medv);
        self.catalog(1).await.create_image(&Actor::system("tester"), &image).await.unwrap();
    }

    /// Opens the catalog of a server that has just started.
    pub(super) async fn catalog(&self, instance: u128) -> Catalog {
        let blobs = match &self.bucket {
            Some(bucket) => bucket.blobs(&self.spool(instance)),
            None => Blobs::open_folder(&self.folder.path().join("blobs")).unwrap(),
        };
        self.catalog_with(blobs, instance).await
    }

    /// Opens a catalog whose bucket does not answer.
    pub(super) async fn catalog_without_store(&self) -> Catalog {
        let blobs = self.bucket.as_ref().unwrap().blobs_away(&self.spool(1));
        self.catalog_with(blobs, 1).await
    }

    async fn catalog_with(&self, blobs: Blobs, instance: u128) -> Catalog {
        let folder = self.folder.path();
        let url = format!("sqlite:{}", folder.join("catalog.sqlite").display());
        let db = Db::open(&url, CONNECTIONS).await.unwrap();
        db.migrate().await.unwrap();
        let tree = Tree::folder(&folder.join("tree")).unwrap();
        let rules = Rules { min_free: 0, ..Rules::default() };
        let clock = Clock::Fixed(Arc::clone(&self.now));
        let instance = Uuid::from_u128(instance);
        Catalog::new(CatalogParts { db, blobs, tree, rules, clock, ids: Ids, instance })
    }

    fn spool(&self, instance: u128) -> PathBuf {
        self.folder.path().join(format!("spool-{instance}"))
    }

    /// Simulates the disk after a power loss: what was not synced is garbage.
    pub(super) fn lose_what_was_not_synced(&self, catalog: &Catalog, upload: &Upload) {
        match catalog.blobs.local_path(&upload.blob_key) {
            Some(path) => spoil(&path.with_extension("part"), upload.received),
            None => files(&self.spool(1)).iter().for_each(|path| spoil(path, 0)),
        }
    }

    pub(super) async fn left_behind(&self) -> Vec<String> {
        let folders = ["blobs", "spool-1", "spool-2"].map(|name| self.folder.path().join(name));
        let files = folders.iter().flat_map(|folder| files(folder));
        let mut left: Vec<_> = files.map(|path| path.display().to_string()).collect();
        if let Some(bucket) = &self.bucket {
            left.extend(bucket.contents().await);
        }
        left
    }
}

fn spoil(path: &Path, from: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[usize::try_from(from).unwrap()..].fill(0xee);
    std::fs::write(path, bytes).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub(super) async fn read(catalog: &Catalog, file: &File) -> Vec<u8> {
    let reader = catalog.blobs.reader(&file.blob_key, file.size).await.unwrap();
    let chunks: Vec<_> = reader.stream(0..file.size).try_collect().await.unwrap();
    chunks.concat()
}
