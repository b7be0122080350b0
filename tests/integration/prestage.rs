//! Pre-staging kits: laid out by the command line, sent as an archive, and checked.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, revision_path};
use crate::harness::command::{Finished, as_admin, curl, imagedepot, run};
use crate::harness::{Database, Depot, is_long_run, on_both_databases, sample};

on_both_databases![
    a_large_kit_is_sent_while_memory_stays_flat,
    a_kit_that_is_sent_is_the_one_that_is_laid_out,
];

const MEBIBYTE: u64 = 1 << 20;
const CKM: &str = "MED-V Images/PrestagedImages/win7-office_1.ckm";
const INDEX: &str = "MED-V Images/PrestagedImages/win7-office_1.ckm.index";

/// A depot in which `win7-office` is published.
pub async fn depot_with_an_image(database: Database) -> Depot {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    depot
}

/// `imagedepot prestage win7-office`, with more words.
pub async fn prestage(depot: &Depot, to: &Path, more: &[&str]) -> Finished {
    let to = to.display().to_string();
    let mut command =
        as_admin(&depot.server.url(), ["prestage", "win7-office", "--to", &to, "--output", "json"]);
    command.args(more);
    run(command).await
}

async fn verify(folder: &Path) -> Finished {
    run(imagedepot(["verify", &folder.display().to_string()])).await
}

/// Fetches the archive with curl and unpacks it.
async fn unpack(depot: &Depot, revision: &str, query: &str, to: &Path) -> PathBuf {
    let archive = depot.scratch().join("kit.tar");
    let url = format!("{}{revision}/prestage{query}", depot.server.url());
    let mut fetch = curl();
    fetch.args(["--user", &depot.admin().name_and_password(), "--output"]).arg(&archive).arg(url);
    run(fetch).await.successful();
    fs::create_dir_all(to).expect("a folder to unpack into");
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(to);
    run(tar).await.successful();
    archive
}

fn make_writable(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("make it writable");
}

fn flip_a_byte(path: &Path) {
    let mut file = fs::File::options();
    make_writable(path);
    let file = file.read(true).write(true).open(path).expect("open the file");
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 1000).expect("read a byte");
    std::os::unix::fs::FileExt::write_all_at(&file, &[byte[0] ^ 1], 1000).expect("write a byte");
    fs::set_permissions(path, Permissions::from_mode(0o444)).expect("read-only again");
}

async fn a_large_kit_is_sent_while_memory_stays_flat(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = admin.draft("win7-office").await;
    let image = depot.scratch().join("image.ckm");
    let size = if is_long_run() { 3 * 1024 * MEBIBYTE } else { 96 * MEBIBYTE };
    sample::write_file(&image, size + 1);
    let mut upload = curl();
    upload.args(["--user", &admin.name_and_password(), "-T"]).arg(&image);
    let path = revision_path("win7-office", draft);
    upload.arg(format!("{}{path}/files/ckm", depot.server.url()));
    run(upload).await.successful();
    admin.put_file("win7-office", draft, "index", b"the index").await.expecting(201);
    admin.seal("win7-office", draft).await.expecting(200);

    // A new process: what the upload needed does not hide what the kit needs.
    depot.server.restart().await;
    depot.admin().get("/api/v1/images").await.expecting(200);
    let before = depot.server.peak_memory();
    let kit = depot.scratch().join("kit");
    unpack(&depot, &path, "", &kit).await;
    let grown = depot.server.peak_memory().saturating_sub(before) / MEBIBYTE;
    println!("{grown} MiB more for a kit of {} MiB", size / MEBIBYTE);
    assert!(grown < 24, "{grown} MiB");
    verify(&kit).await.successful();
    let mut sums = Command::new("sha256sum");
    sums.args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&kit);
    run(sums).await.successful();

    flip_a_byte(&kit.join(CKM));
    fs::remove_file(kit.join(INDEX)).expect("lose the index");
    make_writable(&kit.join("prestage.cmd"));
    let found = verify(&kit).await;
    assert_eq!(found.code, 7, "{}", found.stderr);
    let lines: Vec<_> = found.stdout.lines().collect();
    let expected = [("changed", CKM), ("missing", INDEX), ("writable", "prestage.cmd")];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (word, path)) in lines.iter().zip(expected) {
        assert!(line.starts_with(word) && line.contains(&format!(" {path}: ")), "{line}");
    }
}

async fn a_kit_that_is_sent_is_the_one_that_is_laid_out(database: Database) {
    let depot = depot_with_an_image(database).await;
    let (laid_out, sent) = (depot.scratch().join("laid-out"), depot.scratch().join("sent"));
    let location = "D:\\Büro & Co (O'Neil)";
    let done = prestage(&depot, &laid_out, &["--location", location, "--users-may-append"]).await;
    let said = done.successful().last_line();
    assert_eq!(said["location"], format!("{location}\\MED-V Images\\PrestagedImages"));
    let revision = revision_path("win7-office", 1);
    let query = "?users_may_append=true&location=D%3A%5CB%C3%BCro%20%26%20Co%20(O%27Neil)";
    let archive = unpack(&depot, &revision, query, &sent).await;
    let mut same = Command::new("diff");
    same.arg("--recursive").args([&laid_out, &sent]);
    run(same).await.successful();
    for kit in [&laid_out, &sent] {
        verify(kit).await.successful();
        for folder in ["MED-V Images", "MED-V Images/PrestagedImages"] {
            let mode = fs::metadata(kit.join(folder)).expect("a folder").permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{folder}");
        }
    }

    // A download that broke goes on.
    let whole = fs::read(&archive).expect("the archive");
    fs::write(&archive, &whole[..100_000]).expect("cut it");
    let mut rest = curl();
    rest.args(["--user", &depot.admin().name_and_password(), "--continue-at", "-", "--output"]);
    rest.arg(&archive).arg(format!("{}{revision}/prestage{query}", depot.server.url()));
    run(rest).await.successful();
    assert!(fs::read(&archive).expect("the archive") == whole);
}

#[tokio::test]
async fn an_image_of_one_file_is_pre_staged_alike() {
    let depot = Depot::start(Database::Sqlite).await;
    let bytes = sample::bytes(3, 70_000);
    depot.admin().publish_single("debian", "qcow2", &bytes).await;
    let (laid_out, sent) = (depot.scratch().join("laid-out"), depot.scratch().join("sent"));
    let to = laid_out.display().to_string();
    let words = ["prestage", "debian", "--revision", "1", "--to", &to];
    run(as_admin(&depot.server.url(), words)).await.successful();
    unpack(&depot, &revision_path("debian", 1), "", &sent).await;
    for kit in [&laid_out, &sent] {
        let file = kit.join("MED-V Images/PrestagedImages/debian_1.qcow2");
        assert!(fs::read(file).expect("the image") == bytes);
        verify(kit).await.successful();
    }
}

#[tokio::test]
async fn a_killed_prestage_leaves_nothing_that_looks_finished_and_the_next_completes_it() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = admin.draft("win7-office").await;
    let image = sample::bytes(7, 40_000_000);
    admin.put_file("win7-office", draft, "ckm", &image).await.expecting(201);
    let index = sample::bytes(8, 2_000_000);
    admin.put_file("win7-office", draft, "index", &index).await.expecting(201);
    admin.seal("win7-office", draft).await.expecting(200);
    admin.promote("win7-office", "production", draft).await.expecting(200);

    let kit = depot.scratch().join("kit");
    let to = kit.display().to_string();
    let mut unfinished = 0;
    for round in 0..24 {
        let mut command = as_admin(&depot.server.url(), ["prestage", "win7-office", "--to", &to]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start it");
        tokio::time::sleep(Duration::from_millis(sample::random_below(250))).await;
        child.kill().expect("kill it");
        child.wait().expect("it is gone");
        if kit.join("SHA256SUMS").exists() {
            verify(&kit).await.successful();
        } else {
            unfinished += 1;
        }
        if kit.join(INDEX).exists() {
            assert!(fs::read(kit.join(CKM)).expect("the image of an index") == image);
        }
        // From time to time a finished image suffers, and is mended by the next run.
        if round % 5 == 4 && kit.join(CKM).exists() {
            let _gone = fs::remove_file(kit.join(INDEX));
            let _gone = fs::remove_file(kit.join("SHA256SUMS"));
            flip_a_byte(&kit.join(CKM));
        }
    }
    assert!(unfinished > 0, "no kill came in between");
    // What is right, else what of it has come; an image that suffered counts for nothing.
    let there = |path: &str, right: &[u8]| match fs::read(kit.join(path)) {
        Ok(bytes) if bytes == right => bytes.len() as u64,
        _ => fs::metadata(kit.join(format!("{path}.partial"))).map_or(0, |about| about.len()),
    };
    let before = there(CKM, &image) + there(INDEX, &index);
    let done = prestage(&depot, &kit, &[]).await.successful().last_line();
    assert!(done["bytes_reused"].as_u64() >= Some(before), "{before} bytes were there: {done}");
    verify(&kit).await.successful();
    let again = prestage(&depot, &kit, &[]).await.successful().last_line();
    assert_eq!(again["bytes_fetched"], 0);
}

#[tokio::test]
async fn what_cannot_be_pre_staged_is_refused_with_what_to_do() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let admin = depot.admin();
    let kit = depot.scratch().join("kit");
    let draft = admin.draft("win7-office").await;
    let revoked = admin.ready_revision("win7-office", 5).await;
    admin.revoke("win7-office", revoked).await.expecting(200);
    for revision in [draft, revoked] {
        let refused = prestage(&depot, &kit, &["--revision", &revision.to_string()]).await;
        assert_eq!(refused.code, 6, "{}", refused.stderr);
        let path = format!("{}/prestage", revision_path("win7-office", revision));
        assert_eq!(admin.get(&path).await.problem(409), "revision_not_ready");
    }
    let path = format!("{}/prestage", revision_path("win7-office", 1));
    for (location, word) in [
        ("MED-V Images", "absolute"),
        ("\\\\server\\images", "network"),
        ("C:\\\"MED-V Images\"", "Windows does not allow"),
        ("C:\\\u{201c}MED-V Images\u{201d}", "typographic"),
        (&format!("C:\\{}", "long\\".repeat(50)), "too long"),
    ] {
        let refused = prestage(&depot, &kit, &["--location", location]).await;
        assert_eq!(refused.code, 2, "{location}");
        assert!(refused.stderr.contains(word), "{location}: {}", refused.stderr);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("location", location)
            .finish();
        let answer = admin.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.problem(422), "invalid_value");
        assert!(answer.text().contains(word), "{location}: {}", answer.text());
    }
    assert!(!kit.exists(), "nothing is made for what is refused");

    fs::create_dir_all(kit.join("MED-V Images/PrestagedImages")).expect("a folder");
    fs::write(kit.join("MED-V Images/PrestagedImages/other_3.ckm"), "x").expect("another image");
    let refused = prestage(&depot, &kit, &[]).await;
    assert_eq!(refused.code, 6);
    assert!(refused.stderr.contains("other_3.ckm"), "{}", refused.stderr);
}

#[tokio::test]
async fn findings_have_a_form_for_scripts() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let kit = depot.scratch().join("kit");
    prestage(&depot, &kit, &[]).await.successful();
    let verify = |folder: &Path| {
        run(imagedepot(["verify", &folder.display().to_string(), "--output", "json"]))
    };
    let sound = verify(&kit).await.successful().last_line();
    assert_eq!((&sound["sound"], &sound["files"]), (&json!(true), &json!(7)));
    assert!(sound["bytes"].as_u64() > Some(ckm(1).len() as u64), "{sound}");
    fs::write(kit.join("notes.txt"), "x").expect("another file");
    let found = verify(&kit).await;
    assert_eq!(found.code, 7);
    let said: Value = found.last_line();
    assert_eq!(said["findings"][0]["finding"], "extra");
    assert_eq!(said["findings"][0]["path"], "notes.txt");
    let nowhere = verify(&depot.scratch().join("nowhere")).await;
    assert_eq!((nowhere.code, &nowhere.last_line()["error"]["exit_code"]), (8, &json!(8)));
}
