//! Deltas and ranges through the caches that stand before depots.

use super::{Client, SIZE, changed, depot, fetched, first, leftovers, publish};
use crate::harness::{Database, Store};
use crate::shared_caches::Cache;

#[tokio::test]
async fn nginx_squid_varnish_and_apache_hand_on_deltas_and_ranges() {
    let depot = depot(Database::Sqlite, Store::Folder).await;
    let one = first();
    let two = changed(&one, 2);
    let three = changed(&two, 3);
    publish(&depot.admin(), &[one.clone(), two.clone(), three.clone()]).await;
    let server = depot.server.port();
    for (name, cache) in [
        ("nginx", Cache::nginx(server).await),
        ("squid", Cache::squid(server).await),
        ("varnish", Cache::varnish(server).await),
        ("apache", Cache::apache(server).await),
    ] {
        for (via, seed, bytes) in [("delta", 2, &two), ("chunks", 1, &one)] {
            let client = Client::new(&depot, &format!("{name}-{via}"));
            std::fs::create_dir_all(&client.folder).expect("a folder");
            std::fs::write(client.path(seed), bytes).expect("a seed");
            let pulled = client.pull(&cache.base()).await;
            assert_eq!(pulled["files"][0]["via"], via, "{name}: {pulled}");
            assert!(client.file(3) == three, "{name}");
            assert!(fetched(&pulled) < SIZE as u64 / 4, "{name}: {pulled}");
            assert!(leftovers(&client.folder).iter().all(|left| !left.contains("partial")));
        }
    }
}
