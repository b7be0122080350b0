//! Tests of what a writer in a folder may rely on: what is kept, what continues after a kill, and what is cut off.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::model::Digest;
use crate::storage::blobs::WriteLease;

const SIZE: u64 = 1000;

fn bytes() -> Vec<u8> {
    (0..=255).cycle().take(1000).collect()
}

async fn open(
    folder: &Path,
    kept: Kept,
    unacknowledged: Unacknowledged,
) -> Result<Appender, StorageError> {
    let growing = Growing {
        key: "blob".to_owned(),
        size: Some(SIZE),
        kept,
        unacknowledged,
        multipart: None,
        writer: 2,
        lease: WriteLease::new(Instant::now(), Duration::from_mins(1)),
    };
    Appender::in_folder(folder.join("shard/blob.part"), folder.join("shard/blob"), growing).await
}

fn nothing() -> Kept {
    Kept::at(0, RunningHash::default().save())
}

/// Writes `sent` bytes as an earlier writer that was killed, and returns the state after the first `kept` bytes, which
/// is the last one that it was told.
async fn left_by_a_kill(folder: &Path, kept: usize, sent: usize) -> Kept {
    let mut appender = open(folder, nothing(), Unacknowledged::CutOff).await.unwrap();
    appender.write(Bytes::copy_from_slice(&bytes()[..kept])).await.unwrap();
    let told = appender.sync().await.unwrap();
    appender.write(Bytes::copy_from_slice(&bytes()[kept..sent])).await.unwrap();
    appender.sync().await.unwrap();
    told
}

fn digest_of(kept: &Kept) -> Digest {
    kept.hash().unwrap().finish()
}

fn on_disk(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("shard/blob.part")).unwrap()
}

#[tokio::test]
async fn what_was_synced_is_on_the_disk_with_the_digest_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut appender = open(folder.path(), nothing(), Unacknowledged::CutOff).await.unwrap();
    for piece in bytes().chunks(300) {
        appender.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(appender.taken(), SIZE);
    let kept = appender.sync().await.unwrap();
    assert_eq!((kept.received, digest_of(&kept)), (SIZE, Digest::of(&bytes())));
    assert_eq!(on_disk(folder.path()), bytes());
}

#[tokio::test]
async fn a_writer_goes_on_where_the_one_before_was_told_that_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 400, 400).await;
    let mut appender = open(folder.path(), kept, Unacknowledged::CutOff).await.unwrap();
    assert_eq!(appender.taken(), 400);
    appender.write(Bytes::copy_from_slice(&bytes()[400..])).await.unwrap();
    let kept = appender.sync().await.unwrap();
    assert_eq!((kept.received, digest_of(&kept)), (SIZE, Digest::of(&bytes())));
}

#[tokio::test]
async fn what_nobody_was_told_of_is_taken_in_where_the_machine_stayed_up() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 400, 700).await;
    let mut appender =
        open(folder.path(), kept, Unacknowledged::TakeIn { of_writer: 1 }).await.unwrap();
    assert_eq!(appender.taken(), 700);
    let kept = appender.sync().await.unwrap();
    assert_eq!((kept.received, digest_of(&kept)), (700, Digest::of(&bytes()[..700])));
}

#[tokio::test]
async fn what_nobody_was_told_of_is_cut_off_where_the_machine_went_down() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 400, 700).await;
    let mut appender = open(folder.path(), kept.clone(), Unacknowledged::CutOff).await.unwrap();
    assert_eq!(on_disk(folder.path()), bytes()[..400]);
    assert_eq!(appender.sync().await.unwrap(), kept);
}

#[tokio::test]
async fn no_more_is_taken_in_than_the_whole_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 400, 700).await;
    let path = folder.path().join("shard/blob.part");
    std::fs::write(&path, [bytes(), vec![0xee; 500]].concat()).unwrap();
    let mut appender =
        open(folder.path(), kept, Unacknowledged::TakeIn { of_writer: 1 }).await.unwrap();
    let kept = appender.sync().await.unwrap();
    assert_eq!((kept.received, digest_of(&kept)), (SIZE, Digest::of(&bytes())));
    assert_eq!(on_disk(folder.path()), bytes());
}

#[tokio::test]
async fn a_file_that_lost_what_was_acknowledged_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 400, 400).await;
    let path = folder.path().join("shard/blob.part");
    std::fs::write(&path, &bytes()[..399]).unwrap();
    let shorter = open(folder.path(), kept.clone(), Unacknowledged::CutOff).await;
    assert!(matches!(shorter.err(), Some(StorageError::Damaged(_))));
    std::fs::remove_file(&path).unwrap();
    let gone = open(folder.path(), kept, Unacknowledged::CutOff).await;
    assert!(matches!(gone.err(), Some(StorageError::Damaged(_))));
}

#[tokio::test]
async fn a_file_that_has_its_final_name_already_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let kept = left_by_a_kill(folder.path(), 1000, 1000).await;
    let shard = folder.path().join("shard");
    std::fs::rename(shard.join("blob.part"), shard.join("blob")).unwrap();
    let mut appender = open(folder.path(), kept.clone(), Unacknowledged::CutOff).await.unwrap();
    assert_eq!(appender.sync().await.unwrap(), kept);
}

#[tokio::test]
async fn what_a_stopped_writer_had_not_written_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut appender = open(folder.path(), nothing(), Unacknowledged::CutOff).await.unwrap();
    appender.write(Bytes::copy_from_slice(&bytes()[..400])).await.unwrap();
    appender.stop().await;
    assert_eq!(appender.taken(), 0);
    assert_eq!(on_disk(folder.path()), [0; 0]);
}
