//! Agents behind caches, with client certificates, with a root of trust, and with credentials that are renewed.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Machine, depot};
use crate::harness::authority::{Authority, Valid};
use crate::harness::command::{Finished, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::server::free_port;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, Person};
use crate::shared_caches::Cache;
use crate::trust::wait_until_signed;

/// A depot with two revisions, the first of which is in production.
async fn prepare(admin: &Person) {
    admin.create_image("win7-office").await;
    for seed in 1..=2 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
}

/// The machine follows a promotion and a rollback, and reports both.
async fn follows(admin: &Person, machine: &Machine) {
    machine.round().await;
    assert_eq!(machine.in_use(), Some(1), "{}", machine.name);
    admin.promote("win7-office", "production", 2).await.expecting(200);
    machine.round().await;
    assert_eq!(machine.in_use(), Some(2), "{}", machine.name);
    machine.has_reported(admin, "applied", 2).await;
    admin.roll_back("win7-office", "production").await.expecting(200);
    machine.round().await;
    assert_eq!(machine.in_use(), Some(1), "{}", machine.name);
    machine.has_reported(admin, "applied", 1).await;
}

#[tokio::test]
async fn behind_nginx_squid_varnish_and_apache_an_agent_follows() {
    let depot = depot(Database::Sqlite, 2).await;
    let server = depot.server.port();
    for (name, cache) in [
        ("nginx", Cache::nginx(server).await),
        ("squid", Cache::squid(server).await),
        ("varnish", Cache::varnish(server).await),
        ("apache", Cache::apache(server).await),
    ] {
        follows(&depot.admin(), &Machine::at(&depot, name, &cache.base())).await;
    }
}

#[tokio::test]
async fn an_agent_shows_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let settings = authority.listener_for_its_clients(port);
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    prepare(&depot.admin()).await;
    let url = format!("https://127.0.0.1:{port}");
    let bare = Machine::at(&depot, "pc-0", &url).settings(
        &depot,
        &format!("ca = \"{}\"", authority.file().display()),
        "",
    );
    assert_eq!(run(bare.once(&[])).await.code, 3, "it is let in without a certificate");
    let certificate = authority.client("pc-1", Valid::Long);
    let of_agent = format!(
        "ca = \"{}\"\nclient_certificate = \"{}\"\nclient_key = \"{}\"",
        authority.file().display(),
        certificate.file.display(),
        certificate.key.display(),
    );
    let machine = Machine::at(&depot, "pc-1", &url).settings(&depot, &of_agent, "");
    follows(&depot.admin(), &machine).await;
}

#[tokio::test]
async fn what_the_trusted_depot_has_not_signed_is_not_taken() {
    let (ours, other) = (depot(Database::Sqlite, 1).await, depot(Database::Sqlite, 2).await);
    let mut roots = Vec::new();
    for depot in [&ours, &other] {
        wait_until_signed(depot, "win7-office_1.ckm").await;
        let root = depot.scratch().join("root.json");
        let newest = depot.anonymous().get("/api/v1/trust/root.json").await.expecting(200);
        std::fs::write(&root, newest.body).expect("the root");
        roots.push(root.display().to_string());
    }
    let machine = Machine::new(&ours, "pc-1");
    let Finished { code, stdout, .. } = run(machine.once(&["--trust", &roots[1]])).await;
    assert_eq!((code, machine.in_use()), (7, None), "{stdout}");
    machine.round_with(&["--trust", &roots[0]]).await;
    assert_eq!(machine.in_use(), Some(1));
}

/// A proxy that answers update checks itself, and hands on everything else.
async fn lying_proxy(depot: &Depot, answer: &str) -> StaticSite {
    let site = StaticSite::with(&format!(
        "location = /api/v1/update-check {{ try_files /answer.json =404; default_type application/json; }}
         location / {{ proxy_pass {}; }}
",
        depot.server.url()
    ))
    .await;
    site.write("answer.json", answer.as_bytes());
    site
}

#[tokio::test]
async fn a_signed_file_of_another_image_or_revision_is_not_taken_for_it() {
    let depot = depot(Database::Sqlite, 2).await;
    let admin = depot.admin();
    admin.promote("win7-office", "test", 2).await.expecting(200);
    wait_until_signed(&depot, "test/win7-office_2.ckm.index").await;
    let root = depot.scratch().join("root.json");
    let newest = depot.anonymous().get("/api/v1/trust/root.json").await.expecting(200);
    std::fs::write(&root, newest.body).expect("the root");
    let root = root.display().to_string();
    let question = "/api/v1/update-check?image=win7-office&channel=test&client=pc-1";
    let honest = admin.get(question).await.expecting(200).json();
    // The other channel's revision; the same bytes as a higher revision.
    let mut higher = honest.clone();
    higher["target"]["revision"] = json!(77);
    let lies = [(honest, "production"), (higher, "test")];
    for (number, (answer, channel)) in lies.into_iter().enumerate() {
        let proxy = lying_proxy(&depot, &answer.to_string()).await;
        let machine =
            Machine::at(&depot, &format!("pc-{number}"), proxy.url("").trim_end_matches('/'));
        let arguments = ["--trust", root.as_str(), "--channel", channel];
        let said = run(machine.once(&arguments)).await;
        assert_eq!((said.code, machine.in_use()), (7, None), "{}", said.stdout);
        assert!(said.stderr.contains("is not what was signed"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn a_password_that_was_changed_is_used_without_a_restart() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    prepare(&admin).await;
    let closed = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/production").json(&closed).await.expecting(200);
    let password = depot.scratch().join("password");
    std::fs::write(&password, "not the right one yet").expect("a file");
    let of_agent = format!(
        "user = \"admin\"\npassword_file = \"{}\"\ncheck_every = \"30s\"",
        password.display()
    );
    let machine = Machine::new(&depot, "pc-1").settings(&depot, &of_agent, "");
    let mut command = machine.command(&[]);
    command.env_remove("IMAGEDEPOT_USER").env_remove("IMAGEDEPOT_PASSWORD");
    let mut agent = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start it");
    let mut said = BufReader::new(agent.stdout.take().expect("its output")).lines();
    let first = said.next().expect("a line").expect("text");
    assert!(first.contains("\"exit_code\":4"), "{first}");
    std::fs::write(&password, ADMIN_PASSWORD).expect("a file");
    let until = Instant::now() + Duration::from_mins(1);
    while machine.in_use() != Some(1) {
        assert!(Instant::now() < until, "it still has the wrong password");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    agent.kill().expect("end it");
    let _ended = agent.wait();
}
