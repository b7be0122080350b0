//! A simulated fleet against a real server: what it asks, what it does, and what it measures.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::authority::Authority;
use crate::harness::command::{Finished, as_admin, imagedepot, run};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    every_client_asks_once_a_period_and_the_answers_are_counted,
    clients_that_update_ask_with_their_new_revision,
];

/// Fifty clients, each of which asks twice in four seconds.
const FLEET: [&str; 10] = [
    "simulate",
    "--image",
    "win7-office",
    "--clients",
    "50",
    "--period",
    "2s",
    "--duration",
    "4s",
    "--output=json",
];

fn fleet(url: &str, more: &[&str]) -> Command {
    let mut command = as_admin(url, FLEET);
    command.args(more);
    command
}

#[track_caller]
fn number(document: &Value, field: &str) -> u64 {
    document[field].as_u64().unwrap_or_else(|| panic!("no {field} in {document}"))
}

#[track_caller]
fn assert_measured(document: &Value) {
    let latencies = ["p50_ms", "p99_ms", "p999_ms", "worst_ms"]
        .map(|name| document[name].as_f64().unwrap_or_else(|| panic!("no {name} in {document}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{document}");
    // Fifty clients, one check each in two seconds.
    assert_eq!((&document["rate"], &document["planned_rate"]), (&json!(25.0), &json!(25.0)));
}

async fn every_client_asks_once_a_period_and_the_answers_are_counted(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    let ended = run(fleet(&depot.server.url(), &[])).await.successful();
    assert!(
        ended.stderr.contains("50 clients, each every 2s: 25.0 checks a second"),
        "{}",
        ended.stderr
    );
    let document = ended.last_line();
    assert_eq!((number(&document, "checks"), number(&document, "errors")), (100, 0), "{document}");
    assert_measured(&document);
    // Nobody asked for another revision: the fleet has what the channel offers.
    assert_eq!(document["actions"], json!({ "none": 100 }));
    assert_eq!(document["reasons"], json!({ "up_to_date": 100 }));
    // Kept connections are shared.
    assert!(number(&document["connections"], "opened") < 20, "{document}");
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let counted = metrics.lines().filter(|line| line.starts_with("imagedepot_update_checks_total"));
    let counted: u64 =
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    // One more found out what the channel offers.
    assert_eq!(counted, 101, "{metrics}");
}

async fn clients_that_update_ask_with_their_new_revision(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    let url = depot.server.url();
    let done = run(fleet(&url, &["--revision", "1", "--updates", "1"])).await.successful();
    let document = done.last_line();
    // Each is told once, and has it when it asks again.
    assert_eq!(document["actions"], json!({ "update": 50, "none": 50 }), "{document}");
    assert_eq!(document["reports"], json!({ "applied": 50, "failed": 0 }), "{document}");
    assert_eq!(number(&document, "errors"), 0, "{document}");

    let held = run(fleet(&url, &["--revision", "1", "--updates", "1", "--fails", "1"])).await;
    let document = held.successful().last_line();
    assert_eq!(document["actions"], json!({ "update": 100 }), "who fails is told again");
    assert_eq!(document["reports"], json!({ "applied": 0, "failed": 100 }), "{document}");

    let idle = run(fleet(&url, &["--revision", "1"])).await.successful().last_line();
    assert_eq!(idle["actions"], json!({ "update": 100 }), "nobody follows unless told so");
    assert_eq!(idle["reports"], json!({ "applied": 0, "failed": 0 }), "{idle}");
    assert_eq!(number(&idle, "errors"), 0, "{idle}");
}

#[tokio::test]
async fn over_tls_each_client_has_its_kind_of_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let port = free_port();
    let server = authority.server("server").as_settings();
    let settings = format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n{server}");
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    depot.admin().published_image("win7-office", "production").await;
    let url = format!("https://127.0.0.1:{port}");
    let mut asked = fleet(&url, &["--fresh", "0.4", "--resumed", "0.4", "--connections", "2"]);
    asked.arg("--ca").arg(authority.file());
    let document = run(asked).await.successful().last_line();
    assert_eq!((number(&document, "checks"), number(&document, "errors")), (100, 0), "{document}");
    assert_measured(&document);
    let answers = |way: &str| number(&document["ways"][way], "answers");
    let [kept, fresh, resumed] = ["kept", "fresh", "resumed"].map(answers);
    assert!([kept, fresh, resumed].iter().all(|answers| *answers >= 10), "{document}");
    let [whole, again] =
        ["tls_whole", "tls_resumed"].map(|name| number(&document["connections"], name));
    // The first of those that resume have no session yet; each of the others finds one.
    assert!(again >= resumed / 2 && again < resumed, "{document}");
    assert!(whole >= fresh + resumed - again && whole + again < 100, "{document}");

    let mut without_trust = fleet(&url, &[]);
    without_trust.arg("--ca").arg(Authority::new(folder.path(), "another").file());
    let refused = run(without_trust).await;
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let plain = run(fleet(&depot.server.url(), &["--resumed", "0.5"])).await;
    assert!(plain.code == 2 && plain.stderr.contains("TLS"), "{}", plain.stderr);
}

#[tokio::test]
async fn a_server_that_goes_away_is_counted_and_does_not_end_the_run() {
    let mut depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let ended = tokio::spawn(run(fleet(&depot.server.url(), &[])));
    tokio::time::sleep(Duration::from_secs(2)).await;
    depot.server.kill();
    let ended: Finished = ended.await.expect("the run").successful();
    let document = ended.last_line();
    let (checks, errors) = (number(&document, "checks"), number(&document, "errors"));
    assert!(checks == 100 && errors > 10 && errors < 100, "{document}");
    assert!(document["error_kinds"].to_string().contains("cannot connect"), "{document}");
    let told = ended.stderr.lines().filter(|line| line.contains("cannot connect")).count();
    assert_eq!(told, 1, "each kind is told once: {}", ended.stderr);
}

#[tokio::test]
async fn ctrl_c_ends_it_with_the_result_so_far() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let mut command = as_admin(&depot.server.url(), ["simulate", "--output", "json"]);
    let line = "--image win7-office --clients 50 --period 2s --duration 10min";
    command.args(line.split(' '));
    let running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start it");
    tokio::time::sleep(Duration::from_secs(3)).await;
    kill_process(Pid::from_child(&running), Signal::INT).expect("press Ctrl-C");
    let output = tokio::task::spawn_blocking(move || running.wait_with_output()).await;
    let output = output.expect("the waiting thread").expect("its end");
    assert_eq!(output.status.code(), Some(130));
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned);
    let document: Value = serde_json::from_str(&last.expect("a result")).expect("JSON");
    assert_eq!(document["interrupted"], true);
    assert!((20..=100).contains(&number(&document, "checks")), "{document}");
    assert!(document["seconds"].as_f64().expect("seconds") < 10.0, "{document}");
}

#[tokio::test]
async fn people_see_a_table() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let url = depot.server.url();
    let line = "simulate --image win7-office --clients 20 --period 1s --duration 1s --server";
    let mut command = imagedepot([]);
    command.args(line.split(' ')).arg(&url);
    let table = run(command).await.successful().stdout;
    for part in ["20 checks in 1.0 s: 20.0 a second", "p99.9", "up_to_date", "Errors: 0"] {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
}
