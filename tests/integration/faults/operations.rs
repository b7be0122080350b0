//! Each operation, tried at the second replica while the fault lasts, and a word for how it ended.

use std::time::{Duration, Instant};

use serde_json::json;

use super::expected::Row;
use super::scene::{BEFORE, STALE_AFTER, Scene, file};
use crate::harness::actions::{assignment_path, ckm, file_path};
use crate::harness::bits_client;
use crate::harness::command::{imagedepot, run};
use crate::harness::{Answer, Person};
use crate::{resumable, tus};

/// The other replica takes work over, and a scrub reads some files, in less.
const SOON: Duration = Duration::from_secs(10);

/// A check is answered as soon, whatever fails.
const PROMPT: Duration = Duration::from_secs(5);

pub async fn try_all(scene: &Scene) -> Row {
    let (first, second) = tokio::join!(
        async {
            tokio::join!(
                check(scene),
                download(scene),
                log_in(scene),
                revoked_token(scene),
                promotion(scene),
                publication(scene),
                backup(scene),
            )
        },
        async {
            tokio::join!(
                by_put(scene),
                by_tus(scene),
                by_the_draft(scene),
                by_bits(scene),
                scrub(scene),
                garbage(scene),
            )
        },
    );
    let (check, download, log_in, token, promotion, publication, backup) = first;
    let (put, tus, ietf, bits, scrub, garbage) = second;
    Row::from([
        ("check", check),
        ("download", download),
        ("log-in", log_in),
        ("token", token),
        ("promotion", promotion),
        ("put", put),
        ("tus", tus),
        ("ietf", ietf),
        ("bits", bits),
        ("publication", publication),
        ("scrub", scrub),
        ("garbage", garbage),
        ("backup", backup),
    ])
}

/// The word for an answer: anything but success and a clear refusal is shown whole.
fn ended(answer: &Answer) -> String {
    match answer.status {
        200..=299 => "done".to_owned(),
        503 | 507 => {
            answer.problem(answer.status);
            if answer.status == 503 {
                answer.required_header("retry-after");
            }
            answer.status.to_string()
        }
        409 => match answer.problem(409).as_str() {
            "offset_mismatch" => "back".to_owned(),
            "upload_lost" => "again".to_owned(),
            other => other.to_owned(),
        },
        status => format!("{status}: {}", answer.text()),
    }
}

async fn check(scene: &Scene) -> String {
    let client = Person::new(&scene.second.url(), None);
    for round in 0..20 {
        let asked = Instant::now();
        let id = format!("pc-{round}");
        let told = client.check_for_update("win7-office", "production", 0, &id).await;
        assert!(asked.elapsed() < PROMPT, "a check took {:?}", asked.elapsed());
        if told.status != 200 {
            return ended(&told);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    "done".to_owned()
}

async fn download(scene: &Scene) -> String {
    let client = Person::new(&scene.second.url(), None);
    let Ok(answer) = client.get("/MEDVImages/win7-office_1.ckm").try_send().await else {
        return "differs".to_owned();
    };
    match answer.status {
        200 if answer.body == ckm(1) => "done".to_owned(),
        200 => "differs".to_owned(),
        _ => ended(&answer),
    }
}

async fn log_in(scene: &Scene) -> String {
    tokio::time::sleep(STALE_AFTER + Duration::from_secs(1)).await;
    let holder = Person::with_token(&scene.second.url(), &scene.tokens[1].text);
    ended(&holder.get("/api/v1/images").await)
}

/// A token that is revoked at the first replica as soon as the fault begins.
async fn revoked_token(scene: &Scene) -> String {
    let [revoked, _] = &scene.tokens;
    let revocation = scene.depot.admin().delete(&format!("/api/v1/tokens/{}", revoked.id)).await;
    if revocation.status != 204 {
        let word = ended(&revocation);
        assert!(["503", "507"].contains(&word.as_str()), "a revocation: {word}");
    }
    tokio::time::sleep(STALE_AFTER + Duration::from_secs(1)).await;
    let holder = Person::with_token(&scene.second.url(), &revoked.text);
    let answer = holder.get("/api/v1/images").await;
    match (revocation.status, answer.status) {
        (503 | 507, 200) => "valid".to_owned(),
        (204, 200) => "a revoked token is taken".to_owned(),
        (204, 401) => "401".to_owned(),
        _ => ended(&answer),
    }
}

async fn promotion(scene: &Scene) -> String {
    ended(&scene.at_second().promote("win7-office", "production", 2).await)
}

/// Promoted at the first replica; either may do the work.
async fn publication(scene: &Scene) -> String {
    let admin = scene.depot.admin();
    let promoted = admin.promote("linux", "production", 1).await;
    if promoted.status != 200 {
        return ended(&promoted);
    }
    let asked = Instant::now();
    while asked.elapsed() < SOON {
        let told = admin.get(&assignment_path("linux", "production")).await;
        if told.status == 200 && told.json()["publication"] == "published" {
            return "done".to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    "later".to_owned()
}

async fn by_put(scene: &Scene) -> String {
    let put = scene.at_second().put(&file_path("by-put", 1, "image")).body(file());
    ended(&put.await)
}

async fn by_tus(scene: &Scene) -> String {
    let rest = &file()[BEFORE..];
    ended(&tus::append(&scene.at_second(), &scene.tus, &BEFORE.to_string(), rest).await)
}

async fn by_the_draft(scene: &Scene) -> String {
    let (person, rest) = (scene.at_second(), &file()[BEFORE..]);
    ended(&resumable::append(&person, &scene.ietf, &BEFORE.to_string(), "?1", rest).await)
}

/// Without the client's own time limit, which is shorter than what a bucket is waited for.
async fn by_bits(scene: &Scene) -> String {
    let (file, client) = (file(), scene.bits.lock().await);
    let headers = client.fragment_headers(BEFORE as u64, file.len() - BEFORE, file.len() as u64);
    let method = reqwest::Method::from_bytes(b"BITS_POST").expect("a method");
    let mut call = scene.at_second().call(&method, &client.target);
    for (name, value) in &headers {
        call = call.header(name, value);
    }
    let answer = call.body(file[BEFORE..].to_vec()).await;
    let code = answer.header("bits-error").unwrap_or_default();
    match (answer.status, code) {
        (200, _) => "done".to_owned(),
        (416, bits_client::NO_ERROR) => "back".to_owned(),
        (503, bits_client::BUSY) => "503".to_owned(),
        // BITS has no status of its own for a full disk.
        (500, bits_client::DISK_FULL) => "507".to_owned(),
        (status, _) => format!("{status}: {:?}", answer.headers),
    }
}

async fn scrub(scene: &Scene) -> String {
    let admin = scene.at_second();
    let asked = admin.post("/api/v1/scrub").await;
    if asked.status != 202 {
        return ended(&asked);
    }
    let asked = Instant::now();
    while asked.elapsed() < SOON {
        let told = admin.get("/api/v1/scrub").await;
        if told.status == 200 && told.json()["damaged"] != json!([]) {
            return "damaged".to_owned();
        }
        if told.status == 200 && told.json()["wanted"] == 0 {
            return "done".to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    "later".to_owned()
}

async fn garbage(scene: &Scene) -> String {
    ended(&scene.at_second().post("/api/v1/gc").await)
}

async fn backup(scene: &Scene) -> String {
    let mut backup = imagedepot(["backup", "--to"]);
    backup.arg(scene.depot.scratch().join("backup"));
    backup.arg("--data").arg(scene.second.data()).envs(scene.environment_of_second());
    let ended = run(backup).await;
    match ended.code {
        0 => "done".to_owned(),
        _ if ended.stderr.contains("panicked") || ended.stderr.is_empty() => ended.stderr,
        _ => "failed".to_owned(),
    }
}
