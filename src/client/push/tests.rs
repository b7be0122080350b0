//! Tests of pushes to a server that refuses, breaks off and stores other bytes.

mod broken_connections;
mod depot;
mod resuming;

use std::fs;
use std::path::PathBuf;

use clap::Args as _;
use serde_json::json;
use tempfile::TempDir;

use self::depot::{Depot, depot};
use super::super::exit_code::EXIT_CODES;
use super::*;
use crate::model::Digest;

fn args(line: &[&str]) -> Args {
    let command = Args::augment_args(clap::Command::new("push"));
    let matches = command
        .try_get_matches_from([&["push"], line].concat())
        .unwrap_or_else(|error| panic!("{error}"));
    <Args as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
}

/// A computer with files to push and a state folder of its own.
struct Computer {
    folder: TempDir,
}

impl Computer {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Creates a file larger than what is read ahead.
    fn file(&self, name: &str) -> (String, Vec<u8>) {
        let bytes: Vec<u8> = (0..9_000_000_u32).map(|number| (number % 253) as u8).collect();
        let path = self.folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        (path.to_str().unwrap().to_owned(), bytes)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Returns the names of the files in the state folder.
    fn remembers(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state().join("push")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Returns the path of the one recorded push.
    fn record(&self) -> PathBuf {
        let folder = self.state().join("push");
        let mut paths = self.remembers().into_iter().map(|name| folder.join(name));
        paths.find(|path| path.extension().is_some_and(|of| of == "json")).unwrap()
    }

    async fn push(&self, connection: &Connection, line: &[&str]) -> Result<Ready, Failure> {
        upload(connection, &args(line), Some(&self.state()), &Progress::hidden()).await
    }
}

#[tokio::test]
async fn a_push_makes_the_image_sends_seals_and_promotes() {
    let (connection, depot) = depot(Depot::default()).await;
    let computer = Computer::new();
    let (path, bytes) = computer.file("disk.vhdx");
    let ready = computer.push(&connection, &["disk", &path, "--notes", "first"]).await.unwrap();
    let epoch = promote(&connection, &ready, "test").await.unwrap();

    assert_eq!((ready.revision, epoch), (7, 4));
    assert_eq!(ready.files[0].digest, Digest::of(&bytes));
    assert_eq!(ready.bytes_sent(), 9_000_000);
    assert!(computer.remembers().is_empty(), "{:?}", computer.remembers());
    let depot = depot.lock().unwrap();
    assert_eq!(depot.image, Some(json!({ "name": "disk", "kind": "single", "extension": "vhdx" })));
    assert_eq!(
        depot.asked,
        [
            "GET /images/disk",
            "POST /images",
            "GET /images/disk",
            "POST /images/disk/revisions",
            "PATCH /images/disk/revisions/7",
            "GET /images/disk/revisions/7",
            "POST /uploads",
            "PATCH /uploads/upload-1",
            "GET /images/disk/revisions/7",
            "POST /images/disk/revisions/7/seal",
            "PUT /images/disk/channels/test",
        ]
    );
}

#[tokio::test]
async fn bytes_that_arrive_changed_are_never_sealed_and_the_draft_goes() {
    let (connection, depot) = depot(Depot { corrupt: true, ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    let failure = computer.push(&connection, &["disk", &path]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Verification, "{failure}");
    assert_eq!(depot.lock().unwrap().state, "deleted");
    assert!(computer.remembers().is_empty());
}

#[tokio::test]
async fn an_empty_file_is_pushed_as_it_is() {
    let (connection, depot) = depot(Depot::default()).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");
    fs::write(&path, "").unwrap();
    let ready = computer.push(&connection, &["disk", &path]).await.unwrap();
    assert_eq!(ready.files[0].digest, Digest::of(b""));
    assert_eq!(depot.lock().unwrap().state, "ready");
}

#[tokio::test]
async fn files_that_do_not_fit_the_image_open_no_draft() {
    let image = json!({ "name": "disk", "kind": "medv", "extension": null });
    let (connection, depot) = depot(Depot { image: Some(image), ..Depot::default() }).await;
    let computer = Computer::new();
    let (path, _) = computer.file("disk.vhdx");

    let failure = computer.push(&connection, &["disk", &path]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
    let failure =
        computer.push(&connection, &["disk", &path, "--kind", "single"]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Conflict, "{failure}");
    assert_eq!(depot.lock().unwrap().asked, ["GET /images/disk", "GET /images/disk"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_before_anything_is_made() {
    let (connection, depot) = depot(Depot::default()).await;
    let failure = Computer::new().push(&connection, &["disk", "/no/such.vhdx"]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Storage, "{failure}");
    assert!(depot.lock().unwrap().asked.is_empty());
}

#[test]
fn the_help_lists_the_exit_codes_and_the_variables() {
    let help = Args::augment_args(clap::Command::new("push")).render_long_help().to_string();
    assert!(help.contains(EXIT_CODES), "{help}");
    for variable in
        ["IMAGEDEPOT_URL", "IMAGEDEPOT_PASSWORD_FILE", "IMAGEDEPOT_TOKEN", "IMAGEDEPOT_STATE_DIR"]
    {
        assert!(help.contains(variable), "{help}");
    }
    assert!(!help.contains('`'), "Markdown in the help: {help}");
}
