//! Certificates that change under a running server: nobody is turned away meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::harness::authority::Authority;
use crate::harness::raw;
use crate::harness::server::free_port;
use crate::harness::tls_client::{FreshConnections, resume_with_openssl};
use crate::harness::{Database, Depot, eventually};

async fn with_listener(settings: &str) -> (Depot, u16) {
    let port = free_port();
    let settings = format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n{settings}");
    (Depot::on(Database::Sqlite).settings_file(&settings).start().await, port)
}

/// A metric's value on the only listener with TLS.
async fn gauge(depot: &Depot, name: &str) -> f64 {
    let metrics = depot.admin().get("/metrics").await.expecting(200);
    let text = String::from_utf8(metrics.body.to_vec()).expect("text");
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).expect("the gauge");
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_certificate_is_swapped_under_load_without_a_failed_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let (served, first, second) =
        (authority.server("server"), authority.server("first"), authority.server("second"));
    served.become_another(&first);
    let (depot, port) = with_listener(&served.as_settings()).await;
    let clients = FreshConnections::new(port, &authority);
    let (mut requests, mut seen, mut swapped) = (JoinSet::new(), BTreeSet::new(), 0);
    // 200 a second, each with a handshake of its own, and three swaps meanwhile.
    let mut pace = interval(Duration::from_millis(5));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(15) {
        pace.tick().await;
        let clients = clients.clone();
        requests.spawn(async move { clients.ask().await });
        sent += 1;
        if started.elapsed() > Duration::from_secs(3 + 4 * swapped) && swapped < 3 {
            served.become_another(if swapped % 2 == 0 { &second } else { &first });
            swapped += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    while let Some(asked) = requests.join_next().await {
        seen.insert(asked.expect("no panic").expect("no failed request"));
    }
    assert_eq!(seen, BTreeSet::from([first.der(), second.der()]), "both were seen");
    assert!(f64::from(sent) / seconds > 190.0, "only {sent} requests in {seconds} s");
    let now = clients.ask().await.expect("an answer");
    assert_eq!(now, second.der(), "the last one is in force");
    assert!(depot.server.log().matches("new TLS files are in force").count() == 3);
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_one_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let (served, second) = (authority.server("server"), authority.server("second"));
    let old = served.der();
    let (depot, port) = with_listener(&served.as_settings()).await;
    let clients = FreshConnections::new(port, &authority);
    assert_eq!(gauge(&depot, "imagedepot_tls_reload_success").await.to_bits(), 1.0_f64.to_bits());
    // The certificate of the test's authority ends in 4096.
    let ends = gauge(&depot, "imagedepot_tls_certificate_expiry_timestamp_seconds").await;
    assert!((67_090_000_000.0..67_100_000_000.0).contains(&ends), "{ends}");
    // Another's certificate with the old key.
    std::fs::copy(&second.file, &served.file).expect("copy");
    eventually("the log complains", || async {
        depot.server.log().contains("the old ones remain in force").then_some(())
    })
    .await;
    assert_eq!(gauge(&depot, "imagedepot_tls_reload_success").await.to_bits(), 0.0_f64.to_bits());
    assert_eq!(clients.ask().await.expect("an answer"), old);
    // Complained of once, not every two seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(depot.server.log().matches("the old ones remain in force").count(), 1);
    std::fs::copy(&second.key, &served.key).expect("copy");
    eventually("the new certificate is served", || async {
        (clients.ask().await.expect("an answer") == second.der()).then_some(())
    })
    .await;
    eventually("the metrics are content", || async {
        (gauge(&depot, "imagedepot_tls_reload_success").await > 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sighup_reads_at_once_and_connections_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let (served, second) = (authority.server("server"), authority.server("second"));
    let (depot, port) = with_listener(&served.as_settings()).await;
    let clients = FreshConnections::new(port, &authority);
    let mut kept = raw::Connection::open(depot.server.port()).await;
    kept.write(raw::head("GET", "/livez", &[]).as_bytes()).await;
    kept.read_answer("GET /livez").await.expect("an answer").expecting(200);
    // A session is resumed as long as nothing changes, and not after.
    let session = folder.path().join("session");
    resume_with_openssl(port, "-tls1_3", None, &session).await;
    let again = resume_with_openssl(port, "-tls1_3", None, &session).await;
    assert!(again.stdout.contains("Reused"), "{}", again.stdout);
    served.become_another(&second);
    depot.server.ask_to_reload();
    let started = Instant::now();
    eventually("the new certificate is served", || async {
        (clients.ask().await.expect("an answer") == second.der()).then_some(())
    })
    .await;
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    let fresh = resume_with_openssl(port, "-tls1_3", None, &session).await;
    assert!(!fresh.stdout.contains("Reused"), "{}", fresh.stdout);
    kept.write(raw::head("GET", "/livez", &[]).as_bytes()).await;
    kept.read_answer("GET /livez").await.expect("the connection stayed").expecting(200);
}
