//! A bucket that fails: clear errors while it does, nothing torn, and everything goes on by itself afterwards.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::actions::{assignment_path, ckm, file_path};
use crate::harness::bucket::address;
use crate::harness::command::{curl, run};
use crate::harness::faulty_store::{Fault, FaultyStore};
use crate::harness::{Database, Depot, Store, eventually};

/// A depot whose bucket fails when it is told to, with a published image and a draft.
async fn depot() -> (Depot, FaultyStore, u64) {
    let store = FaultyStore::before(address()).await;
    let endpoint = store.endpoint();
    let depot = Depot::on(Database::Sqlite)
        .store(Store::S3)
        .environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&endpoint))
        .start()
        .await;
    depot.admin().published_image("win7-office", "production").await;
    let draft = depot.admin().draft("win7-office").await;
    (depot, store, draft)
}

async fn everything_is_answered_clearly_and_goes_on_afterwards(fault: Fault) {
    let (depot, store, draft) = depot().await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    let ready = admin.ready_revision("win7-office", 7).await;
    let before = depot.bucket.as_ref().expect("S3").blobs().await;
    store.fails(fault);

    let begun = Instant::now();
    let (download, upload) =
        tokio::join!(async { anyone.get_tree("win7-office_1.ckm").await }, async {
            admin.put_file("win7-office", draft, "ckm", &ckm(9)).await
        },);
    for refused in [download, upload] {
        assert_eq!(refused.problem(503), "store_unavailable");
        refused.required_header("retry-after");
    }
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    // What needs no bytes goes on.
    anyone.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    anyone.get_tree("channel.json").await.expecting(200);
    admin.promote("win7-office", "production", ready).await.expecting(200);
    let check = anyone.check_for_update("win7-office", "production", 1, "pc-1").await.json();
    assert_eq!(check["target"]["revision"], ready);
    assert_eq!(admin.assignment("win7-office", "production").await["publication"], "pending");

    store.fails(Fault::Nothing);
    eventually("the tree follows by itself", || async {
        let now = admin.assignment("win7-office", "production").await;
        (now["publication"] == "published").then_some(())
    })
    .await;
    let file = anyone.get_tree(&format!("win7-office_{ready}.ckm")).await.expecting(200);
    assert!(file.body == ckm(7));
    admin.put_file("win7-office", draft, "ckm", &ckm(9)).await.expecting(201);
    admin
        .delete(&file_path("win7-office", draft, "ckm").replace("/files/ckm", ""))
        .await
        .expecting(204);
    eventually("nothing of what failed stays in the bucket", || async {
        (depot.bucket.as_ref().expect("S3").blobs().await == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_refuses_connections() {
    everything_is_answered_clearly_and_goes_on_afterwards(Fault::Refused).await;
}

#[tokio::test]
async fn a_bucket_that_is_too_busy() {
    everything_is_answered_clearly_and_goes_on_afterwards(Fault::Busy).await;
}

#[tokio::test]
async fn a_bucket_that_never_answers() {
    everything_is_answered_clearly_and_goes_on_afterwards(Fault::Silent).await;
}

/// Some services write the tags of objects otherwise in listings: what is published is still known, and leaves.
#[tokio::test]
async fn a_bucket_whose_listings_have_other_tags_is_kept_in_order() {
    let (depot, store, _) = depot().await;
    let admin = depot.admin();
    admin.wait_until_the_tree_is_complete().await;
    store.fails(Fault::OtherTagsInListings);
    let bucket = depot.bucket.as_ref().expect("S3");
    let before = bucket.headers("MEDVImages/win7-office_1.ckm").await["last-modified"].clone();
    let plan = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!((&plan["steps"], &plan["foreign"]), (&json!([]), &json!([])), "{plan}");
    let after = bucket.headers("MEDVImages/win7-office_1.ckm").await["last-modified"].clone();
    assert_eq!(before, after, "it was published a second time");
    admin
        .delete(&format!("{}?now=true", assignment_path("win7-office", "production")))
        .await
        .expecting(200);
    eventually("what was withdrawn leaves the tree", || async {
        let names = bucket.names("MEDVImages").await;
        (!names.iter().any(|name| name.starts_with("win7-office"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_breaks_off_makes_no_other_file_of_a_download() {
    let (depot, store, _) = depot().await;
    store.fails(Fault::Truncated);
    let fetched = depot.scratch().join("fetched.ckm");
    let mut fetch = curl();
    fetch.arg("--output").arg(&fetched);
    fetch.arg(format!("{}/MEDVImages/win7-office_1.ckm", depot.server.url()));
    // The store's client goes on where an answer broke off; if it gives up, the download is broken and no shorter file.
    let fetching = run(fetch).await;
    let there = std::fs::read(&fetched).unwrap_or_default();
    if fetching.code == 0 {
        assert!(there == ckm(1), "a part of the file passed for the whole");
        return;
    }
    assert!(there.len() < ckm(1).len() && ckm(1).starts_with(&there), "other bytes came");
    store.fails(Fault::Nothing);
    let mut rest = curl();
    rest.args(["--continue-at", "-", "--output"]).arg(&fetched);
    rest.arg(format!("{}/MEDVImages/win7-office_1.ckm", depot.server.url()));
    run(rest).await.successful();
    assert!(std::fs::read(&fetched).expect("the file") == ckm(1));
}

#[tokio::test]
async fn a_server_starts_while_its_bucket_is_away() {
    let (mut depot, store, _) = depot().await;
    store.fails(Fault::Refused);
    depot.server.restart().await;
    let anyone = depot.anonymous();
    anyone.check_for_update("win7-office", "production", 0, "pc-1").await.expecting(200);
    assert!(depot.server.log().contains("could not be checked"));
    store.fails(Fault::Nothing);
    let file = anyone.get_tree("win7-office_1.ckm").await.expecting(200);
    assert!(file.body == ckm(1));
}

/// As after a kill between the copy and its record: the object is there, and what it is called is not known.
#[tokio::test]
async fn what_was_on_its_way_and_is_not_wanted_any_more_leaves_the_tree() {
    let store = FaultyStore::before(address()).await;
    let endpoint = store.endpoint();
    let setup = Depot::on(Database::Sqlite).store(Store::S3).setting("tree", "grace", "0s");
    let setup = setup.environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&endpoint));
    let mut depot = setup.start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    admin.wait_until_published("win7-office", "production").await;
    depot.server.stop().await;
    let catalog = depot.server.data().join("catalog.sqlite");
    let mut python = Command::new("python3");
    python.arg("-c").arg(
        "import sqlite3, sys\n\
         catalog = sqlite3.connect(sys.argv[1])\n\
         catalog.execute(\"update publication set state = 'publishing' where path like '%_2.%'\")\n\
         print(catalog.execute(\"delete from published_object where path like '%_2.%'\").rowcount)\n\
         catalog.commit()",
    );
    let changed = run_command(python, &catalog).await;
    assert_eq!(changed.trim(), "2");

    // Rolled back before the tree could be looked at.
    store.fails(Fault::Refused);
    depot.server.start_again().await;
    depot.admin().roll_back("win7-office", "production").await.expecting(200);
    store.fails(Fault::Nothing);
    let bucket = depot.bucket.as_ref().expect("S3");
    eventually("the second revision has left the tree", || async {
        let names = bucket.names("MEDVImages").await;
        (!names.iter().any(|name| name.contains("_2."))).then_some(())
    })
    .await;
    assert!(bucket.get("MEDVImages/win7-office_1.ckm").await == ckm(1));
}

async fn run_command(mut command: Command, argument: &Path) -> String {
    command.arg(argument);
    run(command).await.successful().stdout
}
