//! Tests of a push that ended early and of the same command afterwards.

use std::os::unix::fs::PermissionsExt as _;

use super::depot::{Fault, Shared};
use super::*;
use crate::client::state_file;

const STOP: Fault = Fault::Hold { after: 5_000_000 };

/// Kills a push of one file when the server has five of its nine million bytes.
async fn killed_push() -> (Computer, Connection, Shared, String) {
    let faults = vec![("image", STOP)];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    let held = depot.lock().unwrap().held.clone();
    let line = ["disk", &path];
    tokio::select! {
        pushed = computer.push(&connection, &line) => panic!("not stopped: {pushed:?}"),
        () = held.notified() => {}
    }
    assert_eq!(depot.lock().unwrap().received("image"), 5_000_000);
    (computer, connection, depot, path)
}

#[tokio::test]
async fn the_same_command_sends_only_the_rest() {
    let (computer, connection, depot, path) = killed_push().await;
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!((ready.revision, ready.bytes_sent()), (7, 4_000_000));
    assert_eq!(ready.files[0].digest, Digest::of(&fs::read(&path).unwrap()), "of the whole");
    let depot = depot.lock().unwrap();
    assert_eq!((depot.state, depot.count("POST /uploads")), ("ready", 1));
    assert!(computer.remembers().is_empty(), "{:?}", computer.remembers());
}

#[tokio::test]
async fn what_is_remembered_is_the_owners_alone_and_holds_no_secret() {
    let (computer, _, _, path) = killed_push().await;
    assert_eq!(computer.remembers().len(), 2, "record and lock: {:?}", computer.remembers());
    let file = computer.record();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(&path) && text.contains("upload-1"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("alice"), "{text}");
}

#[tokio::test]
async fn a_file_that_has_changed_begins_anew_and_the_old_draft_goes() {
    let (computer, connection, depot, path) = killed_push().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!((ready.revision, ready.bytes_sent()), (8, 9_000_000));
    assert_eq!(ready.files[0].digest, Digest::of(&bytes));
    let depot = depot.lock().unwrap();
    assert_eq!(depot.count("DELETE /uploads/upload-1"), 1);
    assert_eq!(depot.count("DELETE /images/disk/revisions/7"), 1);
}

#[tokio::test]
async fn restart_begins_anew_whatever_is_remembered() {
    let (computer, connection, depot, path) = killed_push().await;
    let ready = computer.push(&connection, &["disk", &path, "--restart"]).await.unwrap();
    assert_eq!((ready.revision, ready.bytes_sent()), (8, 9_000_000));
    assert_eq!(depot.lock().unwrap().count("DELETE /uploads/upload-1"), 1);
}

#[tokio::test]
async fn a_draft_that_is_no_draft_any_more_is_left_alone_and_replaced() {
    for state in ["deleted", "revoked"] {
        let (computer, connection, depot, path) = killed_push().await;
        depot.lock().unwrap().state = state;
        let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
        assert_eq!((ready.revision, ready.bytes_sent()), (8, 9_000_000), "{state}");
        assert_eq!(depot.lock().unwrap().count("DELETE /images"), 0, "{state}");
    }
}

#[tokio::test]
async fn a_push_that_ended_between_sealing_and_forgetting_is_finished_without_sending() {
    let (computer, connection, depot, path) = killed_push().await;
    let digest = Digest::of(&fs::read(&path).unwrap()).to_string();
    {
        let mut depot = depot.lock().unwrap();
        depot.state = "ready";
        depot.files = vec![json!({ "role": "image", "size": 9_000_000, "digest": digest })];
        let none = depot.asked.len();
        depot.asked.drain(..none);
    }
    // Its session is not complete in this depot, so the test removes it, as if it were forgotten.
    connection.delete_once(connection.api(&["uploads", "upload-1"]).unwrap()).await.unwrap();
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!((ready.revision, ready.bytes_sent()), (7, 0));
    assert_eq!(depot.lock().unwrap().count("POST"), 0);
    assert!(computer.remembers().is_empty());
}

#[tokio::test]
async fn a_server_that_stays_away_costs_nothing_that_arrived() {
    let mut faults = vec![("image", Fault::Cut { after: 3_000_000 })];
    faults.extend([("image", Fault::Cut { after: 0 }); 8]);
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    let failure = computer.push(&connection, &["disk", &path]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable, "{failure}");
    assert!(failure.to_string().contains(GOES_ON), "{failure}");
    depot.lock().unwrap().faults.clear();
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!((ready.revision, ready.bytes_sent()), (7, 6_000_000));
}

#[tokio::test]
async fn credentials_that_expire_on_the_way_cost_nothing_that_arrived() {
    let faults = vec![
        ("image", Fault::Cut { after: 3_000_000 }),
        ("image", Fault::Refuse(401, "unauthorized")),
    ];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    let failure = computer.push(&connection, &["disk", &path]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Refused, "{failure}");
    assert_eq!(depot.lock().unwrap().state, "draft");
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!(ready.bytes_sent(), 6_000_000);
}

#[tokio::test]
async fn a_second_push_of_the_same_at_once_is_refused() {
    let faults = vec![("image", STOP)];
    let (connection, depot) = depot(Depot { faults, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    let held = depot.lock().unwrap().held.clone();
    let line = ["disk", &path];
    let second = async {
        held.notified().await;
        computer.push(&connection, &line).await
    };
    tokio::select! {
        pushed = computer.push(&connection, &line) => panic!("not stopped: {pushed:?}"),
        refused = second => {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit(), Exit::Conflict, "{failure}");
            assert!(failure.to_string().contains("is running"), "{failure}");
        }
    }
    assert_eq!(depot.lock().unwrap().number, 7, "a second draft");
}

#[tokio::test]
async fn another_server_image_or_file_is_another_push() {
    let (computer, connection, depot, path) = killed_push().await;
    let (other, _) = computer.file("other.vhdx");
    let ready = computer.push(&connection, &["disk", &other]).await.unwrap();
    assert_eq!(ready.bytes_sent(), 9_000_000);
    assert_eq!(computer.remembers().len(), 2, "what belongs to {path} stays");
    assert_eq!(depot.lock().unwrap().number, 8);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_no_failure() {
    let (connection, _) = depot(Depot::default()).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    fs::write(computer.state(), "in the way").unwrap();
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!(ready.revision, 7);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_begins_anew() {
    for text in ["", "{", "{\"version\": 99}"] {
        let (computer, connection, _, path) = killed_push().await;
        fs::write(computer.record(), text).unwrap();
        let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
        assert_eq!((ready.revision, ready.bytes_sent()), (8, 9_000_000), "{text}");
        assert!(computer.remembers().is_empty(), "{text}");
    }
}

#[test]
fn the_state_folder_follows_the_environment() {
    let folder = |pairs: &'static [(&str, &str)]| {
        state_file::folder(&|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    };
    let of = |path: &str| Some(PathBuf::from(path));
    assert_eq!(folder(&[]), None);
    assert_eq!(folder(&[("HOME", "/home/a")]), of("/home/a/.local/state/imagedepot"));
    assert_eq!(folder(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")]), of("/s/imagedepot"));
    assert_eq!(
        folder(&[("HOME", "/home/a"), ("XDG_STATE_HOME", "relative")]),
        of("/home/a/.local/state/imagedepot")
    );
    assert_eq!(folder(&[("XDG_STATE_HOME", "/s"), ("IMAGEDEPOT_STATE_DIR", "/d")]), of("/d"));
}
