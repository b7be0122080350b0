//! Failures of an upload that only a bucket can cause: it is unreachable, keeps what was abandoned, or loses the answer
//! to the last request.

use std::time::{Duration, Instant};

use super::*;
use crate::catalog::Catalog;
use crate::storage::StorageError;
use crate::storage::blobs::test_bucket::Meddling;

const SIZE: usize = 12_000_000;

fn announced(revision: i64, protocol: UploadProtocol) -> Announcement {
    Announcement {
        image: IMAGE.parse().unwrap(),
        revision,
        role: FileRole::Ckm,
        size: Some(SIZE as u64),
        digest: None,
        metadata: None,
        condition: Precondition::None,
        protocol,
    }
}

async fn draft(catalog: &Catalog, actor: &Actor) -> i64 {
    let change = RevisionChange::default();
    let name = IMAGE.parse().unwrap();
    catalog.create_draft(actor, &name, change).await.unwrap().revision.number
}

impl Trial<'_> {
    async fn append_all(&mut self, to: usize) {
        let offset = self.acknowledged;
        let bytes = self.bytes(offset, to - usize::try_from(offset).unwrap());
        let mut open = self.open(StartAt::Exactly(offset), bytes.len(), None).await.unwrap();
        open.write(bytes).await.unwrap();
        self.acknowledged = open.save().await.unwrap().received;
    }
}

fn is_store_away<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Storage(StorageError::Store(_))))
}

#[test]
fn a_bucket_that_is_away_is_a_clear_error_soon_and_the_upload_goes_on_later() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, SIZE).await;
        trial.append_all(7_000_000).await;
        let begun = Instant::now();
        trial.catalog = environment.catalog_without_store().await;
        let start = StartAt::Exactly(7_000_000);
        // The bytes that do not fill a part are only there.
        assert!(is_store_away(&trial.open(start, 1_000_000, None).await.map(drop)));
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        trial.catalog = environment.catalog(1).await;
        assert_eq!(trial.offset().await, Some(7_000_000));
        trial.end().await;
    });
}

#[test]
fn what_cannot_be_removed_is_tried_again_until_it_is_gone() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, SIZE).await;
        trial.append_all(7_000_000).await;
        let there = environment.bucket.as_ref().unwrap().contents().await;
        assert_eq!(there.len(), 2, "a multipart upload and a tail: {there:?}");
        trial.catalog = environment.catalog_without_store().await;
        trial.catalog.cancel_upload(&trial.actor, trial.upload).await.unwrap();
        trial.gone = true;
        trial.catalog.remove_garbage().await.unwrap();
        assert_eq!(environment.bucket.as_ref().unwrap().contents().await, there);
        trial.catalog = environment.catalog(1).await;
        trial.end().await;
    });
}

#[test]
fn a_kill_between_the_bucket_and_the_row_is_made_good_by_asking_again() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, SIZE).await;
        trial.append_all(SIZE).await;
        let upload = trial.catalog.upload(&trial.actor, trial.upload).await.unwrap();
        let whole = trial.catalog.whole(&upload).await.unwrap();
        trial.catalog.blobs.complete(&whole).await.unwrap();
        trial.catalog = environment.catalog(1).await;
        trial.end().await;
    });
}

#[test]
fn a_cancel_at_another_server_leaves_nothing_of_what_was_on_its_way() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, SIZE).await;
        let bytes = trial.bytes(0, 11_000_000);
        let mut open = trial.open(StartAt::Exactly(0), bytes.len(), None).await.unwrap();
        open.write(bytes).await.unwrap();
        let other = environment.catalog(2).await;
        other.cancel_upload(&trial.actor, trial.upload).await.unwrap();
        other.remove_garbage().await.unwrap();
        trial.gone = true;
        assert!(open.save().await.is_err());
        assert_eq!(environment.bucket.as_ref().unwrap().contents().await, Vec::<String>::new());
        trial.end().await;
    });
}

#[test]
fn a_file_in_one_request_is_there_whole_or_leaves_nothing() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let (catalog, actor) = (environment.catalog(1).await, Actor::system("tester"));
        let revision = draft(&catalog, &actor).await;
        let put = || catalog.receive(&actor, announced(revision, UploadProtocol::Put));
        let mut abandoned = put().await.unwrap();
        abandoned.write(BYTES.slice(..8_000_000)).await.unwrap();
        abandoned.abandon().await;
        catalog.remove_garbage().await.unwrap();
        assert_eq!(environment.left_behind().await, Vec::<String>::new());
        let mut whole = put().await.unwrap();
        whole.write(BYTES.slice(..SIZE)).await.unwrap();
        let received = whole.finish(&actor).await.unwrap();
        assert_eq!(received.file.digest, Digest::of(&BYTES[..SIZE]));
        assert!(environment::read(&catalog, &received.file).await == BYTES[..SIZE]);
        assert_eq!(environment.left_behind().await.len(), 1);
    });
}

#[test]
fn a_file_whose_length_nobody_said_is_there_whole_of_any_length() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let (catalog, actor) = (environment.catalog(1).await, Actor::system("tester"));
        let part = 5 << 20;
        for size in [0, 1, part - 1, part, part + 1, 2 * part, SIZE] {
            let revision = draft(&catalog, &actor).await;
            let announced = Announcement { size: None, ..announced(revision, UploadProtocol::Put) };
            let mut whole = catalog.receive(&actor, announced).await.unwrap();
            for piece in BYTES[..size].chunks(700_000) {
                whole.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let received = whole.finish(&actor).await.unwrap();
            assert_eq!(received.file.size, size as u64);
            assert!(environment::read(&catalog, &received.file).await == BYTES[..size]);
        }
        assert_eq!(environment.left_behind().await.len(), 7);
    });
}

/// Simulates a clock that jumped or a machine that was suspended: nothing held the older writer back.
#[test]
fn a_writer_that_was_taken_over_and_goes_on_can_spoil_an_upload_and_never_a_file() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, SIZE).await;
        let mut older = trial.open(StartAt::Exactly(0), SIZE, None).await.unwrap();
        older.write(BYTES.slice(..6_000_000)).await.unwrap();
        environment.now.fetch_add(31_000_000, Ordering::Relaxed);
        trial.catalog = environment.catalog(2).await;
        trial.acknowledged = trial.offset().await.unwrap();
        trial.append_all(SIZE).await;
        let other_bytes = BYTES.slice(1..6_000_001);
        let went_on = older.write(other_bytes).await.is_err() | older.save().await.is_err();
        assert!(went_on, "the older writer was told that its bytes count");
        let finished = trial.catalog.finish_upload(&trial.actor, trial.upload).await;
        assert!(matches!(finished, Err(Error::UploadNotFound)), "{finished:?}");
        trial.gone = true;
        // The older writer's spool folder is emptied when its server starts.
        environment.catalog(1).await.recover().await.unwrap();
        trial.end().await;
    });
}

#[test]
fn a_byte_that_changed_in_the_bucket_sends_the_upload_back_to_the_last_whole_part() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        for (size, whole_parts) in [(7_000_000, 5 << 20), (3_000_000, 0)] {
            let mut trial = Trial::begin(&environment, SIZE).await;
            trial.append_all(size).await;
            environment.bucket.as_ref().unwrap().meddle_with_tail(Meddling::Flip).await;
            let refused = trial.open(StartAt::Exactly(size as u64), 1000, None).await.err();
            let expected = matches!(refused, Some(Error::OffsetMismatch { expected, .. }) if expected == whole_parts);
            assert!(expected, "{refused:?}");
            trial.acknowledged = whole_parts;
            assert_eq!(trial.offset().await, Some(whole_parts));
            trial.end().await;
        }
    });
}

#[test]
fn a_byte_that_changed_when_all_had_come_is_not_made_a_file() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin_told(&environment, 7_000_000, Told::AfterThem).await;
        trial.append_all(7_000_000).await;
        environment.bucket.as_ref().unwrap().meddle_with_tail(Meddling::Flip).await;
        let ended = trial.catalog.end_upload_at(&trial.actor, trial.upload, 7_000_000).await;
        assert!(matches!(ended, Err(Error::OffsetMismatch { .. })), "{ended:?}");
        // It is in the first part, because uploads of unknown length have larger parts.
        trial.acknowledged = 0;
        trial.end().await;
    });
}

#[test]
fn an_upload_whose_bytes_are_gone_from_the_bucket_ends_and_can_be_begun_anew() {
    let environment = Environment::bucket();
    environment.runtime.block_on(async {
        // A lifecycle rule deletes multipart uploads and objects that are some days old.
        let mut trial = Trial::begin(&environment, SIZE).await;
        trial.append_all(7_000_000).await;
        environment.bucket.as_ref().unwrap().meddle_with_tail(Meddling::Remove).await;
        let refused = trial.open(StartAt::Exactly(7_000_000), 1000, None).await.err();
        assert!(matches!(refused, Some(Error::UploadNotFound)), "{refused:?}");
        trial.gone = true;
        trial.end().await;

        let mut trial = Trial::begin(&environment, SIZE).await;
        trial.append_all(7_000_000).await;
        let upload = trial.catalog.upload(&trial.actor, trial.upload).await.unwrap();
        let id = upload.multipart.as_deref().unwrap();
        trial.catalog.blobs.abort_multipart(&upload.blob_key, id).await.unwrap();
        let rest = trial.bytes(7_000_000, SIZE);
        let mut open = trial.open(StartAt::Exactly(7_000_000), rest.len(), None).await.unwrap();
        let _fails_here_or_there = open.write(rest).await;
        let ended = open.save().await;
        assert!(matches!(ended, Err(Error::UploadNotFound)), "{ended:?}");
        trial.gone = true;
        trial.end().await;
    });
}
