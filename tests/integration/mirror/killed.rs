//! A mirror that is killed again and again: no reader meets a name without its file, and no more than a little is fetched
//! twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::{Office, sent_bytes};
use crate::harness::command::kill_after;
use crate::harness::{Database, Depot, is_long_run, sample};
use crate::trust::wait_until_signed;

/// The bytes of an image: enough for a kill in the middle.
const SIZE: usize = 24 << 20;

/// The bytes that a kill may cost.
const AGAIN: u64 = 8 << 20;

/// A reader that reads the documents again and again, and every file that they name.
struct Reader {
    ended: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Reader {
    fn start(tree: &str) -> Self {
        let (ended, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task =
            tokio::spawn(read_until(tree.to_owned(), Arc::clone(&ended), Arc::clone(&rounds)));
        Self { ended, rounds, task }
    }

    async fn end(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.task.await.expect("it has always found what it was told of");
        self.rounds.load(Ordering::SeqCst)
    }
}

async fn read_until(tree: String, ended: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    while !ended.load(Ordering::SeqCst) {
        let Some(document) = get(&tree, "channel.json").await else {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            continue;
        };
        let manifest: Value = serde_json::from_slice(&document).expect("a whole document");
        for file in manifest["images"].as_array().into_iter().flatten().flat_map(files_of) {
            let path = file["path"].as_str().expect("a path");
            let bytes = get(&tree, path).await.unwrap_or_else(|| panic!("{path} is named"));
            assert_eq!(file["digest"], sample::digest(&bytes), "{path}");
        }
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}

fn files_of(image: &Value) -> &[Value] {
    image["files"].as_array().map_or(&[], Vec::as_slice)
}

async fn get(tree: &str, path: &str) -> Option<bytes::Bytes> {
    let answer = reqwest::get(format!("{tree}/{path}")).await.expect("nginx answers");
    if answer.status() == 404 {
        return None;
    }
    Some(answer.error_for_status().expect("a file").bytes().await.expect("its bytes"))
}

#[tokio::test]
async fn readers_of_a_killed_mirror_s_copy_find_every_file_that_they_are_told_of() {
    let (updates, kills) = if is_long_run() { (5, 50) } else { (2, 4) };
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_single_image("win7", "vhdx").await;
    let office = Office::new(&depot, "office").await;
    let reader = Reader::start(&office.tree());
    let (mut killed, mut sent) = (0, 0);
    for revision in 1..=updates {
        let bytes = sample::bytes(revision, SIZE);
        assert_eq!(admin.draft("win7").await, revision);
        admin.put_file("win7", revision, "image", &bytes).await.expecting(201);
        admin.seal("win7", revision).await.expecting(200);
        admin.promote("win7", "production", revision).await.expecting(200);
        wait_until_signed(&depot, &format!("win7_{revision}.vhdx")).await;
        let before = sent_bytes(&admin).await;
        for number in 0..kills / updates {
            let command = office.mirror(&["--once", "production"]);
            // The first one falls into a look in any case.
            let latest = if number == 0 { 60 } else { 500 };
            killed += u64::from(!kill_after(command, sample::random_below(latest)).await);
        }
        office.look(&["production"]).await;
        sent += sent_bytes(&admin).await - before;
        assert!(office.file(&format!("win7_{revision}.vhdx")) == bytes);
        office.machine.verify(&office.tree()).await.successful();
    }
    let rounds = reader.end().await;
    assert!(rounds > 0 && killed >= updates, "{rounds} readings and {killed} kills");
    let limit = updates * SIZE as u64 + killed * AGAIN + updates * (1 << 20);
    assert!(sent <= limit, "{sent} bytes were sent for {killed} kills; {limit} are allowed");
}
