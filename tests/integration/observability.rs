//! The server's reports to those who run it: the access log, metrics, readiness.

use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![metrics_count_what_happened, a_ready_server_says_so];

#[tokio::test]
async fn the_access_log_is_the_one_that_iis_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let depot = Depot::on(Database::Sqlite)
        .setting("log", "access", &path.display().to_string())
        .start()
        .await;
    depot.admin().published_image("win7-office", "production").await;
    let fetched = depot.anonymous().get_tree("win7-office_1.ckm").await;
    let id = fetched.expecting(200).required_header("x-request-id").to_owned();
    let log = eventually("the download is in the log", || async {
        let log = std::fs::read_to_string(&path).ok()?;
        log.contains(&id).then_some(log)
    })
    .await;
    let fields = log.lines().find_map(|line| line.strip_prefix("#Fields: ")).expect("#Fields");
    let line = log.lines().find(|line| line.contains(&id)).expect("the line");
    let value = |name: &str| {
        let place = fields.split(' ').position(|field| field == name).expect(name);
        line.split(' ').nth(place).expect(name)
    };
    assert_eq!(value("cs-method"), "GET");
    assert_eq!(value("cs-uri-stem"), "/MEDVImages/win7-office_1.ckm");
    assert_eq!(value("cs-uri-query"), "-");
    assert_eq!(value("sc-status"), "200");
    assert_eq!(value("sc-bytes"), "300000");
    assert_eq!(value("sc-win32-status"), "0");
    assert_eq!(value("c-ip"), "127.0.0.1");
    assert_eq!(value("s-port"), depot.server.port().to_string());
    let upload = log.lines().find(|line| line.contains("/files/ckm")).expect("the upload's line");
    assert!(upload.contains(" admin ") && upload.contains(" 300000 "), "{upload}");
}

#[tokio::test]
async fn the_access_log_can_be_moved_away_and_ends_with_the_last_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let setup = Depot::on(Database::Sqlite).setting("log", "access", &path.display().to_string());
    let mut depot = setup.start().await;
    let ask = async |depot: &Depot, id: &str| {
        let call = depot.anonymous().get("/livez").header("X-Request-Id", id);
        call.await.expecting(200);
    };
    ask(&depot, "before").await;
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).expect("move the log away");
    eventually("a new log is begun", || async { path.exists().then_some(()) }).await;
    ask(&depot, "after").await;
    for number in 0..100 {
        ask(&depot, &format!("last-{number}")).await;
    }
    depot.server.stop().await;
    let lines_of = |path| std::fs::read_to_string(path).expect("a log");
    let (old, new) = (lines_of(&moved), lines_of(&path));
    assert!(old.contains(" before\n") && !old.contains(" after\n"), "{old}");
    assert!(new.starts_with("#Software: ") && new.contains(" after\n"), "{new}");
    assert!(new.ends_with(" last-99\n"), "{new}");
    assert_eq!(new.matches(" last-").count(), 100);
}

async fn metrics_count_what_happened(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    depot.anonymous().check_for_update("win7-office", "production", 0, "pc-1").await;
    depot.anonymous().get("/metrics").await.problem(401);
    let text = admin.get("/metrics").await.expecting(200).text();
    for line in [
        "imagedepot_update_checks_total{action=\"update\"} 1",
        "imagedepot_promotions_total 1",
        "imagedepot_uploaded_bytes_total 304000",
        "imagedepot_revisions_sealed_total 1",
        "imagedepot_http_request_duration_seconds_count{route=\"/api/v1/update-check\",method=\"GET\"} 1",
        "imagedepot_http_request_duration_seconds_bucket{route=\"/api/v1/images/{image}\
         /revisions/{revision}/seal\",method=\"POST\",le=\"+Inf\"} 1",
        // What has not happened yet.
        "imagedepot_update_checks_total{action=\"rollback\"} 0",
        "imagedepot_requests_total{method=\"DELETE\",status=\"5xx\"} 0",
        "imagedepot_uploads_ended_total{action=\"upload.expire\"} 0",
        "imagedepot_tls_handshakes_refused_total{reason=\"revoked\"} 0",
        "imagedepot_bits_promotions_refused_total 0",
        // What is always told.
        "imagedepot_degraded{part=\"store\"} 0",
        "imagedepot_build_info{version=",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_max_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        if let Some(name) = pair[1].strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next())
        {
            assert!(pair[0].starts_with(&format!("# HELP {name} ")), "{name} is not described");
        }
    }
}

#[tokio::test]
async fn what_the_catalog_has_is_measured() {
    let mut depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    // Measured at the start, and every half minute.
    depot.server.restart().await;
    eventually("the gauges are up", || async {
        let text = depot.admin().get("/metrics").await.expecting(200).text();
        let told = [
            "imagedepot_stored_bytes 304000",
            "imagedepot_revisions{state=\"ready\"} 1",
            "imagedepot_revisions{state=\"quarantined\"} 0",
            "imagedepot_backup_newest_timestamp_seconds 0",
        ];
        told.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

async fn a_ready_server_says_so(database: Database) {
    let depot = Depot::start(database).await;
    let ready = depot.anonymous().get("/readyz").await.expecting(200).json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["degraded"], serde_json::json!([]));
    depot.anonymous().get("/livez").await.expecting(200);
}

#[tokio::test]
async fn metrics_are_open_on_an_address_of_their_own() {
    let port = crate::harness::server::free_port();
    let address = format!("127.0.0.1:{port}");
    let depot = Depot::on(Database::Sqlite).setting("metrics", "listen", &address).start().await;
    let open = reqwest::get(format!("http://{address}/metrics")).await.expect("an answer");
    assert_eq!(open.status(), 200);
    let other = reqwest::get(format!("http://{address}/api/v1/images")).await.expect("an answer");
    assert_eq!(other.status(), 404, "only metrics are there");
    depot.anonymous().get("/metrics").await.problem(401);
}
