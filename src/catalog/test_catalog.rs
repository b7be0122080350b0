//! A catalog in a folder of its own, for tests: `SQLite`, a store and a tree in folders, and a clock that tests
//! control.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::{Catalog, CatalogParts, Rules};
use crate::model::{Clock, Ids};
use crate::storage::tree::Tree;
use crate::storage::{Blobs, CONNECTIONS, Db};

/// Opens the catalog of a server that has just started. The time is `now`, in microseconds since the epoch, until the
/// test moves it.
pub async fn open(folder: &Path, rules: Rules, now: &Arc<AtomicU64>) -> Catalog {
    let url = format!("sqlite:{}", folder.join("catalog.sqlite").display());
    let db = Db::open(&url, CONNECTIONS).await.unwrap();
    db.migrate().await.unwrap();
    Catalog::new(CatalogParts {
        db,
        blobs: Blobs::open_folder(&folder.join("blobs")).unwrap(),
        tree: Tree::folder(&folder.join("tree")).unwrap(),
        rules,
        clock: Clock::Fixed(Arc::clone(now)),
        ids: Ids,
        instance: Uuid::from_u128(1),
    })
}
