//! Guesses at passwords: slowed, without locking out who knows them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Answer, Database, Depot, is_long_run};

const WHOAMI: &str = "/api/v1/whoami";

/// Somebody at an address of the loopback network.
struct Caller {
    url: String,
    http: reqwest::Client,
}

impl Caller {
    fn at(depot: &Depot, host: u8) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .local_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)))
            .build()
            .expect("an HTTP client");
        Self { url: depot.server.url(), http }
    }

    async fn try_in(&self, name: &str, password: &str) -> Answer {
        let url = format!("{}{WHOAMI}", self.url);
        let response = self.http.get(url).basic_auth(name, Some(password)).send().await;
        let response = response.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the whole answer");
        Answer { status, headers, body, question: format!("log in as {name}") }
    }
}

fn wait_of(answer: &Answer) -> u64 {
    assert_eq!(answer.problem(429), "logins_slowed");
    answer.required_header("retry-after").parse().expect("seconds")
}

#[tokio::test]
async fn guesses_wait_and_the_owner_does_not() {
    let depot = Depot::start(Database::Sqlite).await;
    let (attacker, owner) = (Caller::at(&depot, 2), Caller::at(&depot, 3));
    for guess in 0..5 {
        attacker.try_in("admin", &format!("guess {guess}")).await.problem(401);
    }
    let refused = attacker.try_in("admin", "another guess").await;
    assert_eq!(wait_of(&refused), 1);
    assert!(refused.header("www-authenticate").is_none(), "no browser asks again at once");
    // The right one is not looked at either, or waiting would be no matter.
    wait_of(&attacker.try_in("admin", ADMIN_PASSWORD).await);
    owner.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
    // That somebody is let in elsewhere is no news for the attacker.
    wait_of(&attacker.try_in("admin", ADMIN_PASSWORD).await);
    // Without credentials, and with those of others, the address is served.
    depot.anonymous().get("/livez").await.expecting(200);
    attacker.try_in("nobody", "a guess").await.problem(401);
    // After the wait a right password is taken, and ends it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    attacker.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
    attacker.try_in("admin", "a mistake").await.problem(401);
    attacker.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
}

#[tokio::test]
async fn the_wait_grows_and_names_that_do_not_exist_wait_alike() {
    let depot = Depot::on(Database::Sqlite).setting("access__logins", "free_failures", "1").start();
    let depot = depot.await;
    let caller = Caller::at(&depot, 2);
    let mut waits = Vec::new();
    for name in ["admin", "nobody"] {
        caller.try_in(name, "a first guess").await.problem(401);
        let first = wait_of(&caller.try_in(name, "a second guess").await);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        caller.try_in(name, "a third guess").await.problem(401);
        waits.push((first, wait_of(&caller.try_in(name, "a fourth guess").await)));
    }
    assert_eq!(waits, [(1, 2), (1, 2)]);
}

#[tokio::test]
async fn a_burst_of_right_passwords_is_no_attack_and_costs_one_check() {
    let depot = Depot::start(Database::Sqlite).await;
    let caller = Caller::at(&depot, 2);
    let all = (0..100).map(|_| caller.try_in("admin", ADMIN_PASSWORD));
    for answer in futures_util::future::join_all(all).await {
        answer.expecting(200);
    }
}

#[tokio::test]
async fn a_right_password_in_a_bad_request_is_no_mistake() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    // The query is refused before the password is known to be right.
    for _ in 0..20 {
        admin.get("/api/v1/images?limit=many").await.problem(400);
    }
    admin.get(WHOAMI).await.expecting(200);
    // Wrong ones count nevertheless.
    for guess in 0..20 {
        let attacker = depot.user("admin", &format!("guess {guess}"));
        attacker.get("/api/v1/images?limit=many").await.problem_of(&[400, 401, 429]);
    }
    let attacker = depot.user("admin", "another guess");
    assert_eq!(attacker.get(WHOAMI).await.problem(429), "logins_slowed");
}

#[tokio::test]
async fn a_burst_of_guesses_is_not_looked_at_at_once() {
    let depot = Depot::start(Database::Sqlite).await;
    let (attacker, other) = (Caller::at(&depot, 2), Caller::at(&depot, 3));
    let guesses: Vec<String> = (0..200).map(|guess| format!("guess {guess}")).collect();
    let all = guesses.iter().map(|guess| attacker.try_in("admin", guess));
    let answers = futures_util::future::join_all(all);
    let (answers, right) = tokio::join!(answers, other.try_in("admin", ADMIN_PASSWORD));
    right.expecting(200);
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(looked_at <= 5, "{looked_at} guesses were looked at");
    for refused in answers.iter().filter(|answer| answer.status != 401) {
        wait_of(refused);
    }
}

#[tokio::test]
async fn many_names_from_one_address_wait_together_and_who_was_known_there_does_not() {
    let limits = ("access__logins", "free_failures_per_address");
    let depot = Depot::on(Database::Sqlite).setting(limits.0, limits.1, "8").start().await;
    let (caller, known) = (Caller::at(&depot, 2), Caller::at(&depot, 2));
    known.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
    for name in 0..8 {
        caller.try_in(&format!("user-{name}"), "a guess").await.problem(401);
    }
    wait_of(&caller.try_in("yet-another", "a guess").await);
    known.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
}

/// A whole day's guesses in a minute: `--long` sends the 10,000 that the goal names.
#[tokio::test]
async fn a_flood_of_guesses_disturbs_nobody() {
    let (guesses, seconds) = if is_long_run() { (10_000, 60) } else { (1_000, 6) };
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let client = json!({"name": "client", "password": "of the machines", "roles": ["client"]});
    admin.post("/api/v1/users").json(&client).await.expecting(201);
    let quiet = median_check(&depot, Duration::from_secs(1)).await;
    let before = depot.server.peak_memory();
    let attacker = Caller::at(&depot, 2);
    let pace = Duration::from_secs(seconds) / guesses;
    let flood = async {
        let started = Instant::now();
        let mut looked_at = 0;
        for guess in 0..guesses {
            let due = pace * guess;
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            let answer = attacker.try_in("admin", &format!("guess {guess}")).await;
            assert!([401, 429].contains(&answer.status), "{}", answer.text());
            looked_at += u32::from(answer.status == 401);
        }
        (looked_at, started.elapsed())
    };
    let others = async {
        let mut slowest = Duration::ZERO;
        for host in 3..9 {
            let caller = Caller::at(&depot, host);
            let started = Instant::now();
            caller.try_in("admin", ADMIN_PASSWORD).await.expecting(200);
            caller.try_in("client", "of the machines").await.expecting(200);
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(Duration::from_secs(seconds) / 8).await;
        }
        slowest
    };
    let checks = median_check(&depot, Duration::from_secs(seconds));
    let ((looked_at, took), slowest, meanwhile) = tokio::join!(flood, others, checks);
    let grown = depot.server.peak_memory().saturating_sub(before) / 1024;
    println!(
        "{guesses} guesses in {took:?}, {looked_at} looked at; update check {quiet:?} before, {meanwhile:?} \
         meanwhile; slowest two log-ins elsewhere {slowest:?}; memory grew by {grown} KiB"
    );
    assert!(looked_at <= 12, "{looked_at} guesses were looked at");
    assert!(slowest < Duration::from_secs(2), "a log-in elsewhere took {slowest:?}");
    assert!(meanwhile < quiet * 3 + Duration::from_millis(2), "{quiet:?} became {meanwhile:?}");
    // Argon2's own memory comes with the first checks.
    assert!(grown < 100 * 1024, "memory grew by {grown} KiB");
}

/// The median time of update checks, twenty a second.
async fn median_check(depot: &Depot, during: Duration) -> Duration {
    let client = depot.anonymous();
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < during {
        let asked = Instant::now();
        client.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    times.sort();
    times[times.len() / 2]
}
