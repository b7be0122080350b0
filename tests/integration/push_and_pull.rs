//! `imagedepot push` and `pull`: an image from one folder to another, over lines that break.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{ckm, index};
use crate::harness::broken_link::{BrokenLink, Fault};
use crate::harness::command::{as_admin, imagedepot, run};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, on_both_databases, sample};

on_both_databases![push_and_pull_bring_an_image_from_folder_to_folder,];

/// Two files of an image of kind `medv` in a folder.
fn write_image(folder: &Path, seed: u64) -> [String; 2] {
    let files = [folder.join("win7-office.ckm"), folder.join("win7-office.ckm.index")];
    std::fs::write(&files[0], ckm(seed)).expect("write the image");
    std::fs::write(&files[1], index(seed)).expect("write the index");
    files.map(|path| path.display().to_string())
}

async fn push_and_pull_bring_an_image_from_folder_to_folder(database: Database) {
    let depot = Depot::start(database).await;
    let url = depot.server.url();
    let files = write_image(depot.scratch(), 1);
    let [ckm_file, index_file] = [files[0].as_str(), files[1].as_str()];
    let push =
        ["push", "win7-office", ckm_file, index_file, "--channel", "test", "--output", "json"];
    let pushed = run(as_admin(&url, push)).await.successful();
    assert_eq!(pushed.last_line()["revision"], 1);
    let image = depot.admin().get("/api/v1/images/win7-office").await.expecting(200).json();
    assert_eq!(image["kind"], "medv", "guessed from the files' names");
    assert_eq!(depot.admin().assignment("win7-office", "test").await["revision"], 1);

    let target = depot.scratch().join("client");
    let to = target.display().to_string();
    let pull = ["pull", "win7-office", "--channel", "test", "--to", &to, "--output", "json"];
    let pulled = run(as_admin(&url, pull)).await.successful().last_line();
    assert_eq!((&pulled["image"], &pulled["revision"]), (&json!("win7-office"), &json!(1)));
    let total = ckm(1).len() + index(1).len();
    assert_eq!((&pulled["bytes_total"], &pulled["bytes_fetched"]), (&json!(total), &json!(total)));
    assert_eq!(pulled["bytes_reused"], 0);
    assert!(pulled["seconds"].is_number() && pulled["path"].is_string(), "{pulled}");
    assert!(std::fs::read(target.join("win7-office_1.ckm")).expect("pulled") == ckm(1));
    assert!(std::fs::read(target.join("win7-office_1.ckm.index")).expect("pulled") == index(1));

    // What is there already is verified and not fetched again.
    let again = run(as_admin(&url, pull)).await.successful().last_line();
    assert_eq!((&again["bytes_fetched"], &again["bytes_reused"]), (&json!(0), &json!(total)));

    let single = depot.scratch().join("debian.qcow2");
    std::fs::write(&single, sample::bytes(5, 90_000)).expect("write an image");
    let single = single.display().to_string();
    run(as_admin(&url, ["push", "debian", &single])).await.successful();
    let image = depot.admin().get("/api/v1/images/debian").await.expecting(200).json();
    assert_eq!((&image["kind"], &image["extension"]), (&json!("single"), &json!("qcow2")));
    let nothing = as_admin(&url, ["pull", "debian", "--to", &to]);
    assert_ne!(run(nothing).await.code, 0, "nothing is assigned to production");
}

#[tokio::test]
async fn the_same_files_again_make_no_new_revision() {
    let depot = Depot::start(Database::Sqlite).await;
    let (admin, url) = (depot.admin(), depot.server.url());
    let files = write_image(depot.scratch(), 1);
    let [one, other] = [files[0].as_str(), files[1].as_str()];
    let push = ["push", "win7-office", one, other, "--output", "json"];
    let to_test = ["push", "win7-office", one, other, "--channel", "test", "--output", "json"];
    let first = run(as_admin(&url, push)).await.successful().last_line();
    assert_eq!((&first["revision"], &first["was_there"]), (&json!(1), &json!(false)));
    for _ in 0..2 {
        let again = run(as_admin(&url, to_test)).await.successful().last_line();
        assert_eq!((&again["revision"], &again["was_there"]), (&json!(1), &json!(true)));
        assert_eq!((&again["bytes_sent"], &again["epoch"]), (&json!(0), &json!(1)));
    }
    assert_eq!(admin.assignment("win7-office", "test").await["revision"], 1);
    let always = ["push", "win7-office", one, other, "--always", "--output", "json"];
    assert_eq!(run(as_admin(&url, always)).await.successful().last_line()["revision"], 2);
    // Older bytes are new ones behind others.
    write_image(depot.scratch(), 2);
    assert_eq!(run(as_admin(&url, push)).await.successful().last_line()["revision"], 3);
    write_image(depot.scratch(), 1);
    assert_eq!(run(as_admin(&url, push)).await.successful().last_line()["revision"], 4);
    // What was found to be bad is not brought back by a job that knows nothing of it.
    for revision in [1, 2, 4] {
        let revoke =
            format!("/api/v1/images/win7-office/revisions/{revision}/revoke?withdraw=true");
        admin.post(&revoke).await.expecting(200);
    }
    let refused = run(as_admin(&url, push)).await;
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("was revoked"), "{}", refused.stderr);
    assert_eq!(run(as_admin(&url, always)).await.successful().last_line()["revision"], 5);
}

#[tokio::test]
async fn a_pull_that_finds_nothing_new_reads_nothing() {
    let (depot, bytes, to) = depot_with_eight_megabytes().await;
    let url = depot.server.url();
    let pull = ["pull", "debian", "--to", &to, "--output", "json"];
    run(as_admin(&url, pull)).await.successful();
    let file = Path::new(&to).join("debian_1.qcow2");
    // A disk that changed a byte by itself: the file has its date still.
    let date = file.metadata().and_then(|file| file.modified()).expect("its date");
    let mut damaged = bytes.clone();
    damaged[4_000_000] ^= 1;
    std::fs::write(&file, damaged).expect("damage it");
    let opened = std::fs::File::options().write(true).open(&file).expect("the file");
    opened.set_modified(date).expect("set its date");
    let again = run(as_admin(&url, pull)).await.successful().last_line();
    assert_eq!((&again["bytes_fetched"], &again["bytes_reused"]), (&json!(0), &json!(8_000_000)));
    let check = ["pull", "debian", "--to", &to, "--check", "--output", "json"];
    let checked = run(as_admin(&url, check)).await.successful().last_line();
    assert_eq!(checked["bytes_fetched"], 8_000_000);
    assert!(std::fs::read(&file).expect("pulled") == bytes, "it is still damaged");
    // Whoever writes to it changes its date.
    std::fs::write(&file, &bytes[..4_000_000]).expect("cut it");
    let mended = run(as_admin(&url, pull)).await.successful().last_line();
    assert_eq!(mended["bytes_fetched"], 8_000_000);
}

#[tokio::test]
async fn a_pull_says_who_is_asking() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let depot = Depot::on(Database::Sqlite)
        .setting("log", "access", &log.path().display().to_string())
        .start()
        .await;
    depot.admin().publish_single("debian", "qcow2", &sample::bytes(9, 1000)).await;
    let url = depot.server.url();
    let to = depot.scratch().join("client").display().to_string();
    let pull = ["pull", "debian", "--to", &to];
    run(as_admin(&url, pull)).await.successful();
    let mut named = as_admin(&url, pull);
    named.env("IMAGEDEPOT_CLIENT", "PC-0815");
    run(named).await.successful();
    run(as_admin(&url, ["pull", "debian", "--to", &to, "--client", "lab-7"])).await.successful();
    let mut wrong = as_admin(&url, pull);
    wrong.env("IMAGEDEPOT_CLIENT", "PC 0815");
    assert_eq!(run(wrong).await.code, 2);
    let machine = rustix::system::uname().nodename().to_str().expect("a name").to_owned();
    for client in [machine.as_str(), "PC-0815", "lab-7"] {
        eventually("the question stands in the access log", || async {
            let log = std::fs::read_to_string(log.path()).ok()?;
            log.contains(&format!("client={client}")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_right_is_explained() {
    let depot = Depot::start(Database::Sqlite).await;
    let port = depot.server.port();
    for (server, code, words) in [
        (
            format!("127.0.0.1:{port}"),
            2,
            format!("http://127.0.0.1:{port} or https://127.0.0.1:{port}"),
        ),
        (format!("https://127.0.0.1:{port}"), 3, "does not speak TLS".to_owned()),
    ] {
        let pull = imagedepot(["pull", "debian", "--to", "nowhere", "--server", &server]);
        let refused = run(pull).await;
        assert_eq!(refused.code, code, "{server}: {}", refused.stderr);
        assert!(refused.stderr.contains(&words), "{server}: {}", refused.stderr);
    }
}

/// A depot with one large published file, its bytes, and a folder to pull it to.
async fn depot_with_eight_megabytes() -> (Depot, Vec<u8>, String) {
    let depot = Depot::start(Database::Sqlite).await;
    let bytes = sample::bytes(9, 8_000_000);
    depot.admin().publish_single("debian", "qcow2", &bytes).await;
    let to = depot.scratch().join("client").display().to_string();
    (depot, bytes, to)
}

#[tokio::test]
async fn pull_goes_on_where_a_broken_line_left_it() {
    let (depot, bytes, to) = depot_with_eight_megabytes().await;
    let line = BrokenLink::to(depot.server.port(), Fault::BreaksAfter(3_000_000)).await;
    run(as_admin(&line.url(), ["pull", "debian", "--to", &to])).await.successful();
    let pulled = std::fs::read(Path::new(&to).join("debian_1.qcow2")).expect("pulled");
    assert!(pulled == bytes, "other bytes than were uploaded");
    assert!(line.brought() < 9_000_000, "{} bytes for a file of 8,000,000", line.brought());
}

#[tokio::test]
async fn pull_goes_on_where_a_killed_one_stopped() {
    let (depot, bytes, to) = depot_with_eight_megabytes().await;
    let stalled = BrokenLink::to(depot.server.port(), Fault::StallsAfter(5_000_000)).await;
    let mut command = as_admin(&stalled.url(), ["pull", "debian", "--to", &to]);
    let mut pull = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pull");
    eventually("the first five megabytes are there", || async {
        (stalled.brought() > 5_000_000).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    pull.kill().expect("kill the pull");
    pull.wait().expect("the pull's end");
    let finished_name = Path::new(&to).join("debian_1.qcow2");
    assert!(!finished_name.exists(), "half a file under its final name");

    let line = BrokenLink::to(depot.server.port(), Fault::Nothing).await;
    let command = as_admin(&line.url(), ["pull", "debian", "--to", &to, "--output", "json"]);
    let pulled = run(command).await.successful().last_line();
    assert!(std::fs::read(&finished_name).expect("pulled") == bytes, "resumed wrongly");
    assert!(line.brought() < 6_000_000, "{} bytes were fetched again", line.brought());
    assert!(pulled["bytes_reused"].as_u64() > Some(2_000_000), "{pulled}");
    let left: Vec<_> = std::fs::read_dir(&to).expect("the folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn damaged_bytes_never_get_their_final_name() {
    let (depot, _, to) = depot_with_eight_megabytes().await;
    let blob = depot.server.data().join(depot.stored_files().first().expect("a blob"));
    let mut damaged = std::fs::read(&blob).expect("the blob");
    damaged[4_000_000] ^= 1;
    std::fs::remove_file(&blob).expect("replace the blob");
    std::fs::write(&blob, damaged).expect("replace the blob");
    let url = depot.server.url();
    assert_eq!(run(as_admin(&url, ["pull", "debian", "--to", &to])).await.code, 7);
    assert!(!Path::new(&to).join("debian_1.qcow2").exists());
}

#[tokio::test]
async fn exit_codes_tell_a_script_what_to_do() {
    let depot = Depot::start(Database::Sqlite).await;
    let url = depot.server.url();
    let to = depot.scratch().join("client").display().to_string();
    let files = write_image(depot.scratch(), 1);
    let pull = ["pull", "win7-office", "--to", &to];
    let code = |command: Command| async { run(command).await.code };

    let mut stranger = as_admin(&url, ["push", "win7-office", &files[0], &files[1]]);
    stranger.env("IMAGEDEPOT_PASSWORD", "wrong");
    assert_eq!(code(stranger).await, 4, "refused");
    assert_eq!(code(as_admin(&url, pull)).await, 5, "not found");
    assert_eq!(code(as_admin(&url, ["pull", "--no-such-flag"])).await, 2, "usage");
    assert_eq!(code(as_admin(&url, ["push", "CON", &files[0], &files[1]])).await, 2, "a bad name");
    assert_eq!(code(as_admin(&url, ["push", "win7", "/no/such/file.ckm"])).await, 8, "no file");
    let astray =
        ["push", "win7", &files[0], &files[1], "--channel", "prodution", "--output", "json"];
    let refused = run(as_admin(&url, astray)).await;
    assert_eq!(refused.code, 5, "no such channel");
    assert_eq!(refused.last_line()["error"]["code"], "channel_not_found");
    depot.admin().get("/api/v1/images/win7").await.problem(404);
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let mut unreachable = as_admin(&nobody, pull);
    unreachable.stdin(Stdio::null());
    assert_eq!(code(unreachable).await, 3, "unreachable");
    // Every command says which codes it has.
    let help = run(imagedepot(["push", "--help"])).await.successful().stdout;
    assert!(help.to_lowercase().contains("exit code"), "{help}");
}
