//! Keys that are kept elsewhere, with thresholds: each step is a file that a person carries. Until a change is signed there,
//! readers of signed metadata keep the state before, whole.

use std::time::Duration;

use serde_json::json;

use super::{
    Machine, newest_root, promote_next, tree_over_http, trust_command, version, wait_until_signed,
};
use crate::harness::actions::ckm;
use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::{Database, Depot, eventually, on_both_databases};

on_both_databases![keys_move_elsewhere_and_promotions_wait_for_them];

/// The keys of a depot that are elsewhere, in files of their own: three for the root and one for the targets.
const KEYS: [&str; 4] = ["root-1", "root-2", "root-3", "targets-1"];

fn path(depot: &Depot, name: &str) -> String {
    depot.scratch().join(name).display().to_string()
}

async fn trust(depot: &Depot, line: &str) -> Finished {
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word.strip_prefix('@') {
            Some(name) => path(depot, name),
            None => word.to_owned(),
        })
        .collect();
    trust_command(depot, &words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// A command that is refused with this exit code, and says this.
#[track_caller]
fn assert_refused(ended: &Finished, code: i32, words: &str) {
    assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
}

async fn make_keys(depot: &Depot) {
    for name in KEYS {
        trust(depot, &format!("keygen --out @{name}")).await.successful();
    }
}

const INIT: &str = "init --root @root-1.pub @root-2.pub @root-3.pub --root-threshold 2 \
                    --targets @targets-1.pub --out @init";

/// A depot with a revision in production, whose root and targets are signed elsewhere.
async fn with_keys_elsewhere() -> Depot {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    wait_until_signed(&depot, "win7-office_1.ckm.index").await;
    make_keys(&depot).await;
    trust(&depot, INIT).await.successful();
    trust(&depot, "sign @init --key @root-1 --key @root-3 --key @targets-1").await.successful();
    trust(&depot, "import @init").await.successful();
    root_is(&depot, 2).await;
    depot
}

/// Exports what waits, and signs it.
async fn sign_what_waits(depot: &Depot, name: &str) {
    eventually("something waits", || async {
        let _none = std::fs::remove_file(path(depot, name));
        (trust(depot, &format!("pending --out @{name}")).await.code == 0).then_some(())
    })
    .await;
    trust(depot, &format!("sign @{name} --key @targets-1")).await.successful();
}

/// python-tuf finds and verifies a target.
async fn is_fetched(machine: &Machine, tree: &str, target: &str) {
    let told = machine.fetch_with_python(tree, target).await.successful();
    assert!(told.stdout.starts_with("fetched"), "{target}: {}", told.stdout);
}

async fn root_is(depot: &Depot, number: i64) {
    eventually("the server has the root", || async {
        (version(&newest_root(depot).await) == number).then_some(())
    })
    .await;
}

async fn pending_metric(depot: &Depot, value: &str) {
    let line = format!("imagedepot_trust_pending {value}");
    eventually(&line, || async {
        let text = depot.admin().get("/metrics").await.expecting(200).text();
        text.lines().any(|found| found == line).then_some(())
    })
    .await;
}

async fn keys_move_elsewhere_and_promotions_wait_for_them(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    wait_until_signed(&depot, "win7-office_1.ckm.index").await;
    let (machine, tree) = (Machine::new(&depot, "machine").await, tree_over_http(&depot));
    is_fetched(&machine, &tree, "win7-office_1.ckm").await;
    make_keys(&depot).await;
    let said = trust(&depot, INIT).await.successful().stdout;
    for words in ["the next root: version 2", "2 of 3 keys", "257 files", "before: 1 of 1 keys"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // A signature counts once, and each import says what is missing.
    for keys in ["--key @root-1", "--key @root-1", "--key @targets-1"] {
        assert_refused(&trust(&depot, "import @init").await, 7, "signatures are missing");
        trust(&depot, &format!("sign @init {keys}")).await.successful();
    }
    assert_refused(&trust(&depot, "import @init").await, 7, "1 of 2 signatures");
    assert_refused(&trust(&depot, "sign @init --key @root-1.pub").await, 2, "no Ed25519 key");
    assert_eq!(version(&newest_root(&depot).await), 1);
    // Two people may sign copies.
    std::fs::copy(path(&depot, "init"), path(&depot, "copy")).expect("a copy");
    let said = trust(&depot, "sign @copy --key @root-3").await.successful().stdout;
    assert!(said.contains("all signatures are there"), "{said}");
    trust(&depot, "import @init @copy").await.successful();
    root_is(&depot, 2).await;
    is_fetched(&machine, &tree, "win7-office_1.ckm").await;
    machine.pull(&tree).await.successful();

    // Revision 3 replaces 2, which was never signed, and the folder would keep one of before.
    promote_next(&depot, 2).await;
    promote_next(&depot, 3).await;
    pending_metric(&depot, "1").await;
    assert_eq!(admin.assignment("win7-office", "production").await["publication"], "pending");
    admin.wait_until_the_tree_is_complete().await;
    for machine in ["fresh", "machine"] {
        let machine = Machine::new(&depot, machine).await;
        for target in ["channel.json", "win7-office_1.ckm.index"] {
            is_fetched(&machine, &tree, target).await;
        }
        let told = machine.fetch_with_python(&tree, "win7-office_3.ckm").await.successful();
        assert_eq!(told.stdout.trim(), "not listed");
        machine.pull(&tree).await.successful();
        assert!(machine.pulled("win7-office_1.ckm") == ckm(1));
        assert_eq!(machine.verify(&tree).await.successful().last_line()["absent"], 0);
    }
    assert!(depot.tree_names().await.contains(&"win7-office_3.ckm".to_owned()));
    let shown = trust(&depot, "show --output json").await.successful().last_line();
    assert_eq!(shown["pending"]["new"].as_array().map(Vec::len), Some(4), "{shown}");

    sign_what_waits(&depot, "request").await;
    assert_refused(&trust(&depot, "sign @request --key @root-1").await, 2, "needs no signature");
    trust(&depot, "import @request").await.successful();
    wait_until_signed(&depot, "win7-office_3.ckm").await;
    is_fetched(&machine, &tree, "win7-office_3.ckm").await;
    machine.pull(&tree).await.successful();
    assert!(machine.pulled("win7-office_3.ckm") == ckm(3));
    admin.wait_until_published("win7-office", "production").await;
    pending_metric(&depot, "0").await;
    eventually("the index that was kept is gone", || async {
        (depot.anonymous().get_tree("win7-office_1.ckm.index").await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_too_old_is_refused_and_a_consistent_one_taken() {
    let depot = with_keys_elsewhere().await;
    let (machine, tree) = (Machine::new(&depot, "machine").await, tree_over_http(&depot));
    promote_next(&depot, 2).await;
    sign_what_waits(&depot, "bad").await;
    let revoke = "/api/v1/images/win7-office/revisions/2/revoke?rollback=true";
    depot.admin().post(revoke).await.expecting(200);
    assert_refused(&trust(&depot, "import @bad").await, 6, "does not offer it any more");

    // Nothing that was signed is false after that: the rest waits.
    promote_next(&depot, 3).await;
    sign_what_waits(&depot, "good").await;
    let test = "/api/v1/images/win7-office/channels/test";
    depot.admin().put(test).json(&json!({"revision": 3})).await.expecting(200);
    std::fs::copy(path(&depot, "good"), path(&depot, "twice")).expect("a copy");
    let taken = trust(&depot, "import @good --output json").await.successful().last_line();
    assert_eq!(taken["pending"], true, "{taken}");
    wait_until_signed(&depot, "win7-office_3.ckm").await;
    let told = machine.fetch_with_python(&tree, "test/win7-office_3.ckm").await.successful();
    assert_eq!(told.stdout.trim(), "not listed");
    assert_refused(&trust(&depot, "import @twice").await, 6, "was signed meanwhile");

    sign_what_waits(&depot, "rest").await;
    let file = std::fs::read_to_string(path(&depot, "rest")).expect("a file");
    let changed = file.replace("\"length\":300000", "\"length\":300001");
    assert!(changed != file, "it has the image");
    std::fs::write(path(&depot, "changed"), changed).expect("another file");
    assert_eq!(trust(&depot, "import @changed").await.code, 7);
    trust(&depot, "import @rest").await.successful();
    wait_until_signed(&depot, "test/win7-office_3.ckm").await;
    machine.pull(&tree).await.successful();
    assert_refused(&trust(&depot, "pending --out @none").await, 6, "nothing waits");
}

/// A mirror that has all that there is to fetch, and is then told to fetch more.
#[tokio::test]
async fn a_mirror_is_not_behind_what_nobody_has_signed_yet() {
    let depot = with_keys_elsewhere().await;
    let admin = depot.admin();
    let tell = async || {
        let had = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
        let held = json!([{"channel": "production", "sequence": had["sequence"]}]);
        let told = json!({"kind": "copy", "channels": held, "bytes": 0});
        let answer = admin.put("/api/v1/mirrors/berlin").json(&told).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        had["sequence"].as_i64().expect("a sequence")
    };
    let is_current = async || {
        let seen = admin.get("/api/v1/mirrors").await.expecting(200).items();
        seen[0]["channels"][0]["is_current"] == true
    };
    let signed = tell().await;
    assert!(is_current().await);
    promote_next(&depot, 2).await;
    sign_what_waits(&depot, "request").await;
    assert!(is_current().await, "the new document is not shown yet");
    assert_eq!(tell().await, signed);
    trust(&depot, "import @request").await.successful();
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    assert!(!is_current().await);
    assert!(tell().await > signed);
    assert!(is_current().await);
}

/// Otherwise whoever carries a file could have the server sign another root.
#[tokio::test]
async fn an_import_adds_no_signature_of_the_server() {
    let depot = Depot::start(Database::Sqlite).await;
    newest_root(&depot).await;
    make_keys(&depot).await;
    trust(&depot, INIT).await.successful();
    trust(&depot, "sign @init --key @root-1 --key @root-2 --key @targets-1").await.successful();
    let file = std::fs::read(path(&depot, "init")).expect("the file");
    let mut file: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    let of_server = file["root_before"]["signatures"][0]["keyid"].clone();
    let signatures = file["root"]["signatures"].as_array_mut().expect("signatures");
    let before = signatures.len();
    signatures.retain(|signature| signature["keyid"] != of_server);
    assert_eq!(signatures.len() + 1, before, "the server has signed the file that it made");
    std::fs::write(path(&depot, "init"), file.to_string()).expect("another file");
    assert_refused(&trust(&depot, "import @init").await, 7, "signatures are missing");
    assert_eq!(version(&newest_root(&depot).await), 1);
}

#[tokio::test]
async fn the_server_s_keys_change_and_all_keys_come_back() {
    let depot = with_keys_elsewhere().await;
    let (machine, tree) = (Machine::new(&depot, "machine").await, tree_over_http(&depot));
    for role in ["root", "targets"] {
        let refused = trust(&depot, &format!("rotate {role}")).await;
        assert_refused(&refused, 6, &format!("imagedepot trust init --{role}"));
    }
    assert_refused(&trust(&depot, "rotate timestamp").await, 6, "add --out FILE");
    trust(&depot, "rotate timestamp --out @next").await.successful();
    trust(&depot, "sign @next --key @root-2 --key @root-3").await.successful();
    trust(&depot, "import @next").await.successful();
    root_is(&depot, 3).await;
    is_fetched(&machine, &tree, "win7-office_1.ckm").await;

    let impossible = "init --root @root-1.pub --root-threshold 2 --out @none";
    assert_refused(&trust(&depot, impossible).await, 2, "cannot have 2 signatures");
    assert_refused(&trust(&depot, "init --root @root-1 --out @none").await, 2, "secret half");
    promote_next(&depot, 2).await;
    trust(&depot, "init --root-here --targets-here --out @back").await.successful();
    trust(&depot, "sign @back --key @root-2").await.successful();
    assert_refused(&trust(&depot, "import @back").await, 7, "1 of 2 signatures");
    trust(&depot, "sign @back --key @root-1").await.successful();
    trust(&depot, "import @back").await.successful();
    wait_until_signed(&depot, "win7-office_2.ckm").await;
    promote_next(&depot, 3).await;
    wait_until_signed(&depot, "win7-office_3.ckm").await;
    is_fetched(&machine, &tree, "win7-office_3.ckm").await;
    machine.pull(&tree).await.successful();
    trust(&depot, "rotate root").await.successful();
    pending_metric(&depot, "0").await;
}

#[tokio::test]
async fn a_restored_depot_waits_for_the_keys_that_are_elsewhere() {
    let depot = with_keys_elsewhere().await;
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("backups").display().to_string();
    let machine = Machine::of(&depot, folder.path().join("machine")).await;
    machine.pull(&tree_over_http(&depot)).await.successful();
    let mut backup = imagedepot(["backup", "--to", &place, "--data"]);
    backup.arg(depot.server.data()).envs(depot.environment());
    run(backup).await.successful();
    let key = folder.path().join("key");
    std::fs::copy(path(&depot, "targets-1"), &key).expect("a copy");
    drop(depot);
    let restored = Depot::on(Database::Sqlite).after(&["restore", "--from", &place]).start().await;
    assert_eq!(version(&newest_root(&restored).await), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(restored.anonymous().get_tree("tuf/timestamp.json").await.status, 404);
    trust(&restored, "pending --out @request").await.successful();
    let sign = format!("sign @request --key {}", key.display());
    trust(&restored, &sign).await.successful();
    trust(&restored, "import @request").await.successful();
    wait_until_signed(&restored, "win7-office_1.ckm").await;
    machine.pull(&tree_over_http(&restored)).await.successful();
}
