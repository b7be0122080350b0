//! Clients that come with a language or a distribution, as they are: what they send without being told to is taken.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::actions::file_path;
use crate::harness::command::{Finished, run};
use crate::harness::{Database, Depot, Person, sample};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// A draft of an image with one file, and where that is put.
async fn draft(admin: &Person, image: &str) -> String {
    admin.create_single_image(image, "img").await;
    file_path(image, admin.draft(image).await, "image")
}

#[tokio::test]
async fn java_s_own_clients_are_answered_on_a_plain_listener() {
    let depot = Depot::start(Database::Sqlite).await;
    let path = draft(&depot.admin(), "linux").await;
    let file = depot.scratch().join("linux.img");
    std::fs::write(&file, sample::bytes(1, 3_000_000)).expect("a file");
    let mut java = Command::new("java");
    java.arg(Path::new(SCRIPTS).join("HttpClients.java"));
    java.args([&depot.server.url(), &depot.admin().name_and_password(), &path]).arg(&file);
    let said = run(java).await.successful().stdout;
    assert_eq!(said.trim(), "all answered");
}

/// Uploads as wget and curl do when they are given a file as the data of a form.
#[tokio::test]
async fn bytes_are_taken_under_the_type_of_forms() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let file = depot.scratch().join("linux.img");
    std::fs::write(&file, sample::bytes(1, 100_000)).expect("a file");
    let user = admin.name_and_password();
    let (name, password) = user.split_once(':').expect("both");
    let path = draft(&admin, "by-wget").await;
    let mut wget = Command::new("wget");
    wget.args(["--method=PUT", "--auth-no-challenge", "-O", "/dev/null"]);
    wget.args([&format!("--user={name}"), &format!("--password={password}")]);
    wget.arg(format!("--body-file={}", file.display()));
    run(wget_to(wget, &depot, &path)).await.successful();
    let path = draft(&admin, "by-curl").await;
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-X", "PUT", "-u", &user]);
    curl.arg("--data-binary").arg(format!("@{}", file.display()));
    run(wget_to(curl, &depot, &path)).await.successful();
    for image in ["by-wget", "by-curl"] {
        let bytes = admin.get(&file_path(image, 1, "image")).await.expecting(200).body;
        assert_eq!(bytes, sample::bytes(1, 100_000), "{image}");
    }
    // Parts of a form have something around the bytes.
    let path = draft(&admin, "by-form").await;
    let mut form = Command::new("curl");
    form.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-u", &user]);
    form.arg("-F").arg(format!("file=@{}", file.display()));
    assert_eq!(run(wget_to(form, &depot, &path)).await.stdout, "415");
}

fn wget_to(mut command: Command, depot: &Depot, path: &str) -> Command {
    command.arg(format!("{}{path}", depot.server.url()));
    command
}

/// A file of which the client has most already. Several ranges at once, 20 at most in a request.
#[tokio::test]
async fn zsync_fetches_what_has_changed() {
    let depot = Depot::start(Database::Sqlite).await;
    let bytes = sample::bytes(1, 4_000_000);
    depot.admin().publish_single("linux", "img", &bytes).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    std::fs::write(&new, &bytes).expect("the new file");
    let mut before = bytes.clone();
    for at in (0..before.len()).step_by(200_000) {
        before[at] ^= 1;
    }
    std::fs::write(&old, &before).expect("the old file");
    let url = format!("{}/MEDVImages/linux_1.img", depot.server.url());
    let mut make = Command::new("zsyncmake");
    make.args(["-u", &url, "-f", "fetched", "-o", "sums.zsync"]).arg(&new);
    in_folder(make, folder.path()).await.successful();
    let mut zsync = Command::new("zsync");
    zsync.args(["-i", "old", "-o", "fetched", "sums.zsync"]);
    let said = in_folder(zsync, folder.path()).await.successful();
    assert_eq!(std::fs::read(folder.path().join("fetched")).expect("the file"), bytes);
    let sent = sent_bytes(&depot).await;
    assert!(sent < 1_000_000, "{sent} bytes: {}", said.stderr);
}

/// Fetches like [zsync](zsync_fetches_what_has_changed), with 48 ranges at once, whose parts have to come in the
/// requested order.
#[tokio::test]
async fn zckdl_fetches_what_has_changed() {
    let depot = Depot::start(Database::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = sample::bytes(1, 8_000_000);
    for name in ["old", "new"] {
        std::fs::write(folder.path().join(name), &bytes).expect("a file");
        let mut zck = Command::new("zck");
        zck.arg(name);
        in_folder(zck, folder.path()).await.successful();
        for at in (0..bytes.len()).step_by(400_000) {
            bytes[at] ^= 1;
        }
    }
    let made = std::fs::read(folder.path().join("new.zck")).expect("the chunks");
    depot.admin().publish_single("linux", "zck", &made).await;
    let before = sent_bytes(&depot).await;
    let mut zckdl = Command::new("zckdl");
    zckdl.args(["-s", "old.zck"]).arg(format!("{}/MEDVImages/linux_1.zck", depot.server.url()));
    let said = in_folder(zckdl, folder.path()).await.successful();
    assert!(std::fs::read(folder.path().join("linux_1.zck")).expect("the file") == made);
    let sent = sent_bytes(&depot).await - before;
    assert!(sent < made.len() as u64 / 2, "{sent} of {}: {}", made.len(), said.stderr);
}

async fn sent_bytes(depot: &Depot) -> u64 {
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let sent = metrics.lines().find_map(|line| line.strip_prefix("imagedepot_sent_bytes_total "));
    sent.and_then(|sent| sent.parse().ok()).expect("a number")
}

async fn in_folder(mut command: Command, folder: &Path) -> Finished {
    command.current_dir(folder);
    run(command).await
}

#[tokio::test]
async fn aria2_is_given_the_digest_that_it_asks_for() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().publish_single("linux", "img", &sample::bytes(1, 4_000_000)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut aria2 = Command::new("aria2c");
    aria2.args([
        "--no-conf",
        "--console-log-level=info",
        "--log=log",
        "--log-level=info",
        "-x",
        "4",
    ]);
    aria2.arg(format!("{}/MEDVImages/linux_1.img", depot.server.url()));
    in_folder(aria2, folder.path()).await.successful();
    let log = std::fs::read_to_string(folder.path().join("log")).expect("its log");
    assert!(log.to_lowercase().contains("\ndigest: sha-256="), "{log}");
    let fetched = std::fs::read(folder.path().join("linux_1.img")).expect("the file");
    assert_eq!(fetched, sample::bytes(1, 4_000_000));
}

/// `channel.json` twice within a second: whoever compares dates sees both.
#[tokio::test]
async fn two_versions_within_a_second_are_two_to_whoever_compares_dates() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let first = admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    let url = format!("{}/MEDVImages/channel.json", depot.server.url());
    let file = depot.scratch().join("channel.json");
    let fetch = async || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-R", "-z"]).arg(&file).arg("-o").arg(&file).arg(&url);
        run(curl).await.successful();
        let text = std::fs::read_to_string(&file).expect("the manifest");
        serde_json::from_str::<serde_json::Value>(&text).expect("the manifest")["sequence"].clone()
    };
    // Over some seconds, for dates are whole ones.
    let mut last = json!(0);
    for round in 0..8 {
        let revision = if round % 2 == 0 { second } else { first };
        admin.promote("win7-office", "production", revision).await.expecting(200);
        let sequence = fetch().await;
        assert_ne!(sequence, last, "round {round}");
        last = sequence;
    }
    let head = depot.anonymous().get_tree("channel.json").await.expecting(200);
    assert!(head.headers.get("last-modified").is_none(), "its date has not come");
}
