//! Mirrors behind caches, and with client certificates.

use super::{Office, promote_next};
use crate::harness::actions::ckm;
use crate::harness::authority::{Authority, Valid};
use crate::harness::command::run;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually};
use crate::shared_caches::Cache;

#[tokio::test]
async fn behind_nginx_squid_varnish_and_apache_a_mirror_follows() {
    let depot = Depot::start(Database::Sqlite).await;
    let server = depot.server.port();
    let caches = [
        ("nginx", Cache::nginx(server).await),
        ("squid", Cache::squid(server).await),
        ("varnish", Cache::varnish(server).await),
        ("apache", Cache::apache(server).await),
    ];
    promote_next(&depot, "production", 1).await;
    let mut offices = Vec::new();
    for (name, cache) in &caches {
        offices.push((Office::new(&depot, name).await, format!("{}/MEDVImages", cache.base())));
    }
    for revision in [1, 2] {
        if revision > 1 {
            promote_next(&depot, "production", revision).await;
        }
        let name = format!("win7-office_{revision}.ckm");
        for (office, tree) in &offices {
            // Caches may answer with what they have for some seconds more.
            eventually("the mirror has the revision", || async {
                run(office.mirror_of(tree, &["--once", "production"])).await.successful();
                office.folder().join(&name).exists().then_some(())
            })
            .await;
            office.machine.pull(&office.tree()).await.successful();
            assert!(office.machine.pulled(&name) == ckm(revision), "{tree}");
        }
    }
}

#[tokio::test]
async fn a_mirror_shows_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let settings = authority.listener_for_its_clients(port);
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    let tree = format!("https://127.0.0.1:{port}/MEDVImages");
    let mirror = |certified: bool| {
        let mut mirror = office.mirror_of(&tree, &["--once", "production"]);
        mirror.arg("--ca").arg(authority.file());
        if certified {
            let certificate = authority.client("office", Valid::Long);
            mirror.arg("--client-certificate").arg(&certificate.file);
            mirror.arg("--client-key").arg(&certificate.key);
        }
        run(mirror)
    };
    assert_eq!(mirror(false).await.code, 3, "it is let in without a certificate");
    mirror(true).await.successful();
    office.machine.pull(&office.tree()).await.successful();
    assert!(office.machine.pulled("win7-office_1.ckm") == ckm(1));
}
