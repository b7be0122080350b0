//! Tests of connections that break during a push, and of files that are sent in parallel.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::depot::Fault;
use super::*;

#[tokio::test]
async fn a_broken_upload_goes_on_from_the_servers_offset() {
    let faults = [1_000_000, 3_000_000, 0, 2_000_000].map(|after| ("image", Fault::Cut { after }));
    let (connection, depot) = depot(Depot { faults: faults.into(), ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!(ready.files[0].digest, Digest::of(&bytes));
    let depot = depot.lock().unwrap();
    assert_eq!(depot.files[0]["digest"], Digest::of(&bytes).to_string());
    assert_eq!((depot.count("POST /uploads"), depot.count("HEAD /uploads/upload-1")), (1, 4));
}

#[tokio::test]
async fn getting_further_renews_the_patience() {
    // Each cut alone is within the four attempts of a test's connection; all together are far beyond.
    let faults = [("image", Fault::Cut { after: 500_000 }); 12];
    let (connection, _) = depot(Depot { faults: faults.into(), ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    computer.push(&connection, &["disk", &path]).await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_another_offset_is_believed() {
    let faults = vec![
        ("image", Fault::Cut { after: 5_000_000 }),
        ("image", Fault::FallBack { to: 1_234_567 }),
    ];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    computer.push(&connection, &["disk", &path]).await.unwrap();
    let depot = depot.lock().unwrap();
    assert_eq!(depot.files[0]["digest"], Digest::of(&bytes).to_string());
    assert_eq!(depot.count("POST /uploads"), 1);
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced_by_a_new_one_from_the_start() {
    let faults = vec![("image", Fault::Cut { after: 5_000_000 }), ("image", Fault::Lose)];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert!(ready.bytes_sent() >= 14_000_000, "{}", ready.bytes_sent());
    let depot = depot.lock().unwrap();
    assert_eq!(depot.files[0]["digest"], Digest::of(&bytes).to_string());
    assert_eq!((depot.count("POST /uploads"), depot.count("POST /images/disk/revisions")), (2, 2));
}

#[tokio::test]
async fn an_answer_that_is_lost_costs_no_second_upload() {
    for fault in [Fault::DropAnswer, Fault::DropAnswerAndSession] {
        let faults = vec![("image", fault)];
        let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
        let computer = Computer::new();
        let (path, _) = computer.file("disk.vhdx");
        let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
        assert_eq!(ready.bytes_sent(), 9_000_000, "{fault:?}");
        assert_eq!(depot.lock().unwrap().count("POST /uploads"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_stumbles_is_tried_again() {
    let refusals = [(500, "internal"), (409, "upload_taken_over"), (409, "upload_lost")];
    let faults = refusals.map(|(status, code)| ("image", Fault::Refuse(status, code)));
    let (connection, depot) = depot(Depot { faults: faults.into(), ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!(depot.lock().unwrap().count("PATCH /uploads"), 4);
}

#[tokio::test]
async fn a_server_that_takes_nothing_more_counts_as_a_broken_line() {
    let faults = vec![("image", Fault::Hold { after: 2_000_000 })];
    let (mut connection, _) = depot(Depot { faults, ..Depot::default() }).await;
    connection.stall = Duration::from_millis(300);
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    // Larger than what the system buffers for a connection from which nobody reads.
    fs::write(&path, vec![7; 40_000_000]).unwrap();
    computer.push(&connection, &["disk", &path]).await.unwrap();
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_is_not_sealed() {
    let faults = vec![("image", Fault::Hold { after: 2_000_000 })];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    let (held, release) = {
        let depot = depot.lock().unwrap();
        (depot.held.clone(), depot.release.clone())
    };
    let change = async {
        held.notified().await;
        // Written in place: a file that is short for a moment would give another error.
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
        release.notify_one();
    };
    let line = ["disk", &path];
    let (pushed, ()) = tokio::join!(computer.push(&connection, &line), change);
    let failure = pushed.unwrap_err();
    assert!(failure.to_string().contains("was changed while"), "{failure}");
    assert_eq!(depot.lock().unwrap().state, "deleted");
}

#[tokio::test]
async fn a_file_that_shrinks_on_the_way_is_told_as_such() {
    let faults = vec![("image", Fault::Cut { after: 2_000_000 })];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    let sources = [Source::open(files::LocalFile { role: "image", path: path.clone().into() })];
    let source = sources.into_iter().next().unwrap().unwrap();
    fs::write(&path, &bytes[..8_000_000]).unwrap();
    drop(depot);
    let draft = Draft::open(&connection, "disk").await.unwrap();
    let image = image::find_or_make(&connection, &args(&["disk", &path])).await.unwrap();
    let progress = Progress::hidden();
    let memory = PushRecord::open(None, "server", &image, &[], &progress).unwrap();
    let failure = send::send(&draft, &memory, &source, &progress).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Storage, "{failure}");
    assert!(failure.to_string().contains("cannot read"), "{failure}");
}

#[tokio::test]
async fn the_files_of_a_revision_travel_side_by_side() {
    let together = Some(Arc::new(Barrier::new(2)));
    let (connection, depot) = depot(Depot { together, ..Depot::default() }).await;
    let computer = Computer::new();
    let (ckm, index) = (computer.file("disk.ckm").0, computer.file("disk.ckm.index").0);
    let line = ["disk", &ckm, &index];
    let pushed = tokio::time::timeout(Duration::from_secs(20), computer.push(&connection, &line));
    let ready = pushed.await.expect("one waits for the other").unwrap();
    assert_eq!(ready.bytes_total(), 18_000_000);
    assert_eq!(depot.lock().unwrap().files.len(), 2);
}

#[tokio::test]
async fn one_file_that_fails_for_good_stops_the_other() {
    let faults = vec![
        ("index", Fault::Refuse(422, "not_an_index")),
        ("ckm", Fault::Hold { after: 1_000_000 }),
    ];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (ckm, index) = (computer.file("disk.ckm").0, computer.file("disk.ckm.index").0);
    let failure = computer.push(&connection, &["disk", &ckm, &index]).await.unwrap_err();
    assert!(failure.to_string().contains("not_an_index"), "{failure}");
    assert!(failure.to_string().contains("disk.ckm.index"), "{failure}");
    assert_eq!(depot.lock().unwrap().state, "deleted");
}

#[tokio::test]
async fn two_files_that_fail_make_one_failure() {
    let faults = vec![
        ("index", Fault::Refuse(409, "not_a_draft")),
        ("ckm", Fault::Refuse(409, "not_a_draft")),
    ];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (ckm, index) = (computer.file("disk.ckm").0, computer.file("disk.ckm.index").0);
    let failure = computer.push(&connection, &["disk", &ckm, &index]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Conflict, "{failure}");
    let depot = depot.lock().unwrap();
    assert_eq!((depot.state, depot.count("DELETE /images")), ("deleted", 1));
    assert!(computer.remembers().is_empty());
}
