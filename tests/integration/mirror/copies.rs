//! What is in a copy after promotions and revocations, and who can read it.

use serde_json::json;

use super::{Office, promote, promote_next, sent_bytes};
use crate::deltas::{self, changed, first};
use crate::harness::actions::{ckm, index};
use crate::harness::command::run;
use crate::harness::folder::mode;
use crate::harness::{Database, Depot, Store};

#[tokio::test]
async fn a_copy_behind_nginx_is_read_by_every_client() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    let told = office.look(&["production"]).await;
    assert_eq!(
        (&told["changed"], &told["channels"][0]["channel"]),
        (&json!(true), &json!("production"))
    );
    assert_eq!(office.names(), ["channel.json", "win7-office_1.ckm", "win7-office_1.ckm.index"]);
    assert_eq!(mode(&office.folder().join("win7-office_1.ckm")), 0o444);
    assert_eq!(mode(&office.folder()), 0o755);

    let (machine, tree) = (&office.machine, office.tree());
    machine.pull(&tree).await.successful();
    assert!(machine.pulled("win7-office_1.ckm") == ckm(1));
    machine.fetch_with_python(&tree, "win7-office_1.ckm.index").await.successful();
    assert!(machine.fetched() == index(1));
    machine.fetch_with_tough(&tree, "win7-office_1.ckm").await.successful();
    let report = machine.verify(&tree).await.successful().last_line();
    assert_eq!((&report["sound"], &report["files"]), (&json!(true), &json!(3)), "{report}");
    // The channels that are not copied.
    assert_eq!(report["absent"], 1, "{report}");

    // Nothing new: nothing is done.
    let told = office.look(&["production"]).await;
    assert_eq!((&told["bytes_fetched"], &told["files_removed"]), (&json!(0), &json!(0)), "{told}");
}

#[tokio::test]
async fn promotions_arrive_and_what_is_old_leaves_in_its_time() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    office.look(&["production"]).await;
    promote_next(&depot, "production", 2).await;
    office.look(&["production"]).await;
    // The revision before is kept, as in the depot's folder.
    assert_eq!(office.names().len(), 5, "{:?}", office.names());
    promote_next(&depot, "production", 3).await;
    office.look(&["production"]).await;
    office.machine.pull(&office.tree()).await.successful();
    assert!(office.machine.pulled("win7-office_3.ckm") == ckm(3));
    // The index went at once, the image stays for those who fetch it.
    let names = office.names();
    assert!(names.contains(&"win7-office_1.ckm".to_owned()), "{names:?}");
    assert!(!names.contains(&"win7-office_1.ckm.index".to_owned()), "{names:?}");
    assert!(names.contains(&"win7-office_2.ckm.index".to_owned()), "{names:?}");
    let told = office.look(&["production", "--grace", "0s"]).await;
    assert_eq!((&told["files_removed"], office.names().len()), (&json!(1), 5), "{told}");

    // What was rolled back has no index any more, or legacy clients would take it for the newest.
    depot.admin().roll_back("win7-office", "production").await.expecting(200);
    crate::trust::wait_until_signed(&depot, "win7-office_2.ckm.index").await;
    crate::harness::eventually("the rollback is copied", || async {
        office.look(&["production"]).await;
        (!office.names().contains(&"win7-office_3.ckm.index".to_owned())).then_some(())
    })
    .await;
    assert!(office.names().contains(&"win7-office_3.ckm".to_owned()));
    office.machine.verify(&office.tree()).await.successful();
}

#[tokio::test]
async fn nothing_of_a_revoked_revision_stays() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    for seed in 1..=3 {
        promote_next(&depot, "production", seed).await;
    }
    let office = Office::new(&depot, "office").await;
    office.look(&["production", "--keep", "2"]).await;
    let has = |revision: u64| {
        let of = format!("win7-office_{revision}.ckm");
        office.names().into_iter().filter(|name| name.starts_with(&of)).count()
    };
    // The assigned one is revoked, and another one takes its place.
    let revoke = "/api/v1/images/win7-office/revisions/3/revoke?rollback=true";
    admin.post(revoke).await.expecting(200);
    crate::harness::eventually("one look after it is signed, it is gone", || async {
        let told = office.look(&["production"]).await;
        (told["files_removed"] == 2).then_some(())
    })
    .await;
    assert_eq!((has(3), has(2)), (0, 2));
    office.machine.pull(&office.tree()).await.successful();
    assert!(office.machine.pulled("win7-office_2.ckm") == ckm(2));
    // What is withdrawn and revoked is in no document any more, and the depot says that it is gone.
    admin.delete("/api/v1/images/win7-office/channels/production").await.expecting(200);
    crate::harness::eventually("the withdrawal is copied", || async {
        office.look(&["production"]).await;
        (has(2) == 1).then_some(())
    })
    .await;
    admin.revoke("win7-office", 2).await.expecting(200);
    office.look(&["production"]).await;
    assert_eq!(office.names(), ["channel.json"]);
}

#[tokio::test]
async fn a_file_of_two_channels_is_fetched_once() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().create_image("win7-office").await;
    promote_next(&depot, "production", 1).await;
    let second = promote_next(&depot, "test", 2).await;
    let office = Office::new(&depot, "office").await;
    office.look(&["production", "test"]).await;
    assert!(office.file("test/win7-office_2.ckm") == ckm(2));
    promote(&depot, "production", second).await;
    let before = sent_bytes(&depot.admin()).await;
    let told = office.look(&["production", "test"]).await;
    assert!(office.file("win7-office_2.ckm") == ckm(2));
    assert_eq!(told["bytes_fetched"], 0, "{told}");
    let sent = sent_bytes(&depot.admin()).await - before;
    assert!(sent < 100_000, "{sent} bytes of metadata");
    // A channel that is not asked for any more leaves, its document first.
    office.look(&["production", "--grace", "0s"]).await;
    assert!(office.names().iter().all(|name| !name.starts_with("test/")), "{:?}", office.names());
}

#[tokio::test]
async fn what_the_copy_has_is_not_fetched_again() {
    let depot = deltas::depot(Database::Sqlite, Store::Folder).await;
    let admin = depot.admin();
    let one = first();
    let two = changed(&one, 2);
    deltas::publish(&admin, std::slice::from_ref(&one)).await;
    crate::trust::wait_until_signed(&depot, "win7_1.vhdx.chunks").await;
    let office = Office::new(&depot, "office").await;
    office.look(&["production"]).await;
    deltas::publish(&admin, std::slice::from_ref(&two)).await;
    crate::trust::wait_until_signed(&depot, "win7_2.vhdx.from-1.delta").await;
    let told = office.look(&["production"]).await;
    assert!(office.file("win7_2.vhdx") == two);
    let delta = office.file("win7_2.vhdx.from-1.delta").len() as u64;
    let chunks = office.file("win7_2.vhdx.chunks").len() as u64;
    assert_eq!(told["bytes_fetched"], delta + chunks, "{told}");
    let tree = office.tree();
    let (machine, folder) = (&office.machine, depot.scratch().join("pulled"));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("win7_1.vhdx"), &one).expect("a seed");
    let pulled = machine.pull_into(&tree, "win7", &folder).await.successful().last_line();
    assert_eq!(pulled["files"][0]["via"], "delta", "{pulled}");
}

#[tokio::test]
async fn a_copy_can_be_copied() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let (first, second) = (Office::new(&depot, "first").await, Office::new(&depot, "second").await);
    first.look(&["production"]).await;
    let tree = first.tree();
    let of_copy = |channel| second.mirror_of(&tree, &["--once", channel]);
    run(of_copy("production")).await.successful();
    assert_eq!(second.names(), first.names());
    second.machine.verify(&second.tree()).await.successful();
    let refused = run(of_copy("test")).await;
    assert_eq!(refused.code, 5, "{}", refused.stderr);

    promote_next(&depot, "production", 2).await;
    first.look(&["production"]).await;
    run(of_copy("production")).await.successful();
    second.machine.pull(&second.tree()).await.successful();
    assert!(second.machine.pulled("win7-office_2.ckm") == ckm(2));
}

#[tokio::test]
async fn files_of_others_stay_as_they_are() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let office = Office::new(&depot, "office").await;
    let theirs =
        [("README", "theirs"), ("win7-office_0.ckm.index", "theirs"), ("notes/x", "theirs")];
    for (name, text) in theirs {
        let path = office.folder().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("their file");
    }
    // In the way of a file that is to come.
    let in_the_way = office.folder().join("win7-office_1.ckm");
    std::fs::write(&in_the_way, "theirs").expect("their file");
    let refused = office.try_look(&["production"]).await;
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("win7-office_1.ckm is not the mirror's"), "{}", refused.stderr);
    assert_eq!(office.file("win7-office_1.ckm"), b"theirs");
    // A file that is already what it is to be is used.
    std::fs::write(&in_the_way, ckm(1)).expect("the right bytes");
    office.look(&["production"]).await;
    depot
        .admin()
        .post("/api/v1/images/win7-office/revisions/1/revoke?withdraw=true")
        .await
        .expecting(200);
    crate::harness::eventually("the withdrawal is copied", || async {
        office.look(&["production", "--grace", "0s"]).await;
        (!office.names().contains(&"win7-office_1.ckm.index".to_owned())).then_some(())
    })
    .await;
    assert!(office.file("win7-office_1.ckm") == ckm(1), "the mirror did not make it");
    for (name, text) in theirs {
        assert_eq!(office.file(name), text.as_bytes(), "{name}");
    }
}
