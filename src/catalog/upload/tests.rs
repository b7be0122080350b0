//! Random lives of sessions: whatever is done to a session, in whatever order, its file is the file that was sent, or
//! there is no file.

mod bucket;
mod environment;
mod writer_queue;

use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use self::environment::{Environment, IMAGE};
use super::*;
use crate::catalog::revision::RevisionChange;
use crate::catalog::{ChangeContext, Precondition};
use crate::model::{Digest, FileRole};
use crate::storage::Holder;

/// An operation on a session.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes at the offset that the server reports, ended in some way.
    Append {
        length: usize,
        end: End,
    },
    /// Bytes that the server has already, or that leave a gap: refused.
    AppendElsewhere {
        distance: i64,
        length: usize,
    },
    /// Bytes of which the first ones are already there, as BITS sends them after a lost answer.
    AppendOverlapping {
        back: usize,
        length: usize,
    },
    /// A second request arrives while the first is still writing.
    TwoWriters {
        first: usize,
        second: usize,
    },
    /// Another server on the same catalog takes over.
    OtherServer {
        length: usize,
    },
    Ask,
    Cancel,
    /// 15 days pass.
    Expire,
}

/// The moment at which the server learns the file's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    AtTheStart,
    WithTheLastBytes,
    AfterThem,
    /// The same, and the server is killed when it has just recorded the length.
    AfterThemAndKilled,
}

/// The way in which an append ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Saved,
    /// The connection breaks and the request is dropped.
    Dropped,
    /// The same, while bytes are being written.
    DroppedWhileWriting,
    /// SIGKILL.
    Killed,
    /// The machine loses power, and what was not synced is garbage afterwards.
    PowerLost,
    /// The same, and the server is killed again when it has just taken the session over.
    PowerLostThenKilled,
    WithChecksum,
    WithWrongChecksum,
    /// The server is killed before the checksum can be compared.
    KilledUnproven,
    /// The same, and it is killed again when it has just taken the session over.
    KilledUnprovenTwice,
}

/// The number of bytes sent at once: usually few, sometimes about as many as are kept together.
#[derive(Clone)]
struct Lengths {
    few: Range<usize>,
    many: Range<usize>,
}

fn steps(lengths: Lengths) -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![4 => lengths.few, 1 => lengths.many];
    let end = prop_oneof![
        Just(End::Saved),
        Just(End::Dropped),
        Just(End::DroppedWhileWriting),
        Just(End::Killed),
        Just(End::PowerLost),
        Just(End::PowerLostThenKilled),
        Just(End::WithChecksum),
        Just(End::WithWrongChecksum),
        Just(End::KilledUnproven),
        Just(End::KilledUnprovenTwice),
    ];
    let step = prop_oneof![
        12 => (length.clone(), end).prop_map(|(length, end)| Step::Append { length, end }),
        3 => (prop_oneof![-50_000_i64..0, 1_i64..50_000], length.clone())
            .prop_map(|(distance, length)| Step::AppendElsewhere { distance, length }),
        3 => (0_usize..60_000, length.clone())
            .prop_map(|(back, length)| Step::AppendOverlapping { back, length }),
        3 => (length.clone(), length.clone())
            .prop_map(|(first, second)| Step::TwoWriters { first, second }),
        2 => length.prop_map(|length| Step::OtherServer { length }),
        3 => Just(Step::Ask),
        1 => Just(Step::Cancel),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 1..10)
}

/// A catalog in a folder, and the one session under test.
struct Trial<'a> {
    environment: &'a Environment,
    catalog: Catalog,
    actor: Actor,
    file: Bytes,
    upload: Uuid,
    revision: i64,
    /// The acknowledged bytes, which must never be lost.
    acknowledged: u64,
    /// True if the session was cancelled or has expired.
    gone: bool,
    told: Told,
}

/// The bytes to send. No two pieces are alike, so that a piece in the place of another is detected.
static BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let words = (0_u32..5 << 20).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes());
    words.collect::<Vec<u8>>().into()
});

impl<'a> Trial<'a> {
    async fn begin(environment: &'a Environment, size: usize) -> Self {
        Self::begin_told(environment, size, Told::AtTheStart).await
    }

    async fn begin_told(environment: &'a Environment, size: usize, told: Told) -> Self {
        let catalog = environment.catalog(1).await;
        let actor = Actor::system("tester");
        let draft = catalog
            .create_draft(&actor, &IMAGE.parse().unwrap(), RevisionChange::default())
            .await
            .unwrap();
        let announced = Announcement {
            image: draft.image.name,
            revision: draft.revision.number,
            role: FileRole::Ckm,
            size: (told == Told::AtTheStart).then_some(size as u64),
            digest: None,
            metadata: None,
            condition: Precondition::None,
            protocol: UploadProtocol::Json,
        };
        let upload = catalog.create_upload(&actor, announced).await.unwrap();
        Self {
            environment,
            catalog,
            actor,
            file: BYTES.slice(..size),
            upload: upload.id,
            revision: draft.revision.number,
            acknowledged: 0,
            gone: false,
            told,
        }
    }

    /// Returns the bytes from `from` on, as many of them as there are.
    fn bytes(&self, from: u64, length: usize) -> Bytes {
        let from = usize::try_from(from).unwrap().min(self.file.len());
        self.file.slice(from..(from + length).min(self.file.len()))
    }

    async fn offset(&mut self) -> Option<u64> {
        match self.catalog.stop_writer(&self.actor, self.upload).await {
            Ok(upload) => {
                assert!(!self.gone, "an ended session answers");
                assert!(upload.received >= self.acknowledged, "acknowledged bytes are lost");
                self.acknowledged = upload.received;
                Some(upload.received)
            }
            Err(Error::UploadNotFound) => {
                assert!(self.gone, "the session is lost");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn perform(&mut self, step: &Step) {
        let Some(offset) = self.offset().await else { return };
        match *step {
            Step::Append { length, end } => self.append(offset, length, end).await,
            Step::AppendElsewhere { distance, length } => {
                let at = offset.saturating_add_signed(distance);
                if at != offset {
                    let refused = self.open(StartAt::Exactly(at), length, None).await.err();
                    assert!(
                        matches!(refused, Some(Error::OffsetMismatch { expected, .. }) if expected == offset)
                    );
                }
            }
            Step::AppendOverlapping { back, length } => {
                let first = offset.saturating_sub(back as u64);
                self.append_overlapping(offset, first, length).await;
            }
            Step::TwoWriters { first, second } => {
                self.two_writers(offset, first, second).await;
            }
            Step::OtherServer { length } => self.other_server(length).await,
            Step::Ask => {}
            Step::Cancel => {
                self.catalog.cancel_upload(&self.actor, self.upload).await.unwrap();
                self.gone = true;
            }
            Step::Expire => {
                self.environment.now.fetch_add(15 * 24 * 3_600_000_000, Ordering::Relaxed);
                self.catalog.expire_uploads().await.unwrap();
                self.gone = true;
            }
        }
    }

    async fn open(
        &self,
        start: StartAt,
        length: usize,
        checksum: Option<Checksum>,
    ) -> Result<Appending> {
        let length = Some(length as u64);
        let piece = Piece { start, length, checksum, file_length: None };
        self.catalog.append(&self.actor, self.upload, piece).await
    }

    async fn append(&mut self, offset: u64, length: usize, end: End) {
        let bytes = self.bytes(offset, length);
        let checksum = match end {
            End::WithChecksum | End::KilledUnproven | End::KilledUnprovenTwice => {
                Some(Checksum::Sha256(Sha256::digest(&bytes).into()))
            }
            End::WithWrongChecksum => Some(Checksum::Sha1([7; 20])),
            _ => None,
        };
        let mut open = self.open(StartAt::Exactly(offset), bytes.len(), checksum).await.unwrap();
        if matches!(end, End::DroppedWhileWriting) {
            let _cut_off = open.write(bytes).now_or_never();
            return;
        }
        for piece in bytes.chunks(30_000) {
            open.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        match end {
            End::Saved | End::WithChecksum => {
                self.acknowledged = open.save().await.unwrap().received;
                assert_eq!(self.acknowledged, offset + bytes.len() as u64);
            }
            End::Dropped | End::DroppedWhileWriting => drop(open),
            End::WithWrongChecksum => {
                assert!(matches!(open.save().await, Err(Error::ChecksumMismatch)));
                assert_eq!(self.offset().await, Some(offset));
            }
            End::Killed => self.kill(open).await,
            End::KilledUnproven | End::KilledUnprovenTwice => {
                self.kill(open).await;
                if matches!(end, End::KilledUnprovenTwice) {
                    self.kill_claiming().await;
                }
                assert_eq!(self.offset().await, Some(offset));
            }
            End::PowerLost | End::PowerLostThenKilled => {
                self.kill(open).await;
                self.lose_power().await;
                if matches!(end, End::PowerLostThenKilled) {
                    self.kill_claiming().await;
                }
            }
        }
    }

    async fn append_overlapping(&mut self, offset: u64, first: u64, length: usize) {
        let bytes = self.bytes(first, length);
        let end = first + bytes.len() as u64;
        let opened = self.open(StartAt::OverlappingFrom(first), bytes.len(), None).await;
        if end <= offset {
            assert!(matches!(opened, Err(Error::OffsetMismatch { .. })));
            return;
        }
        let mut open = opened.unwrap();
        let skip = usize::try_from(open.upload().unwrap().received - first).unwrap();
        open.write(bytes.slice(skip..)).await.unwrap();
        self.acknowledged = open.save().await.unwrap().received;
        assert_eq!(self.acknowledged, end);
    }

    /// Runs two writers: the arrival of the second stops the first, and what that had is kept.
    async fn two_writers(&mut self, offset: u64, first: usize, second: usize) {
        let (one, two) = (self.bytes(offset, first), self.bytes(offset + first as u64, second));
        let mut older = self.open(StartAt::Exactly(offset), one.len(), None).await.unwrap();
        older.write(one.clone()).await.unwrap();
        let stopped = async {
            older.superseded().await;
            older.save().await.unwrap().received
        };
        let middle = offset + one.len() as u64;
        let (saved, newer) =
            tokio::join!(stopped, self.open(StartAt::Exactly(middle), two.len(), None));
        assert_eq!(saved, middle);
        let mut newer = newer.unwrap();
        newer.write(two.clone()).await.unwrap();
        self.acknowledged = newer.save().await.unwrap().received;
        assert_eq!(self.acknowledged, middle + two.len() as u64);
    }

    /// Continues on a server that knows this one only from the catalog. This one's writer has died.
    async fn other_server(&mut self, length: usize) {
        let offset = self.acknowledged;
        let bytes = self.bytes(offset, length);
        let open = self.open(StartAt::Exactly(offset), bytes.len(), None).await.unwrap();
        std::mem::forget(open);
        self.environment.now.fetch_add(31_000_000, Ordering::Relaxed);
        self.catalog = self.environment.catalog(2).await;
        let mut open = self.open(StartAt::Exactly(offset), bytes.len(), None).await.unwrap();
        open.write(bytes).await.unwrap();
        self.acknowledged = open.save().await.unwrap().received;
        self.catalog = self.environment.catalog(1).await;
    }

    /// Kills the server: nothing of its memory is left, and nothing was cleaned up.
    async fn kill(&mut self, mut open: Appending) {
        // Writes in progress are completed; what is only collected is lost.
        open.0.as_mut().unwrap().appender.stop().await;
        std::mem::forget(open);
        self.catalog = self.environment.catalog(1).await;
        self.catalog.recover().await.unwrap();
    }

    /// Kills the server after a claim: the row says who has the session, and what is past the offset is not cut off
    /// yet.
    async fn kill_claiming(&mut self) {
        let mut turn = self.catalog.shared.turns.take(self.upload).await.unwrap();
        let claiming =
            self.catalog.claim(&mut turn, self.upload, lease::Unrecorded::Count, &|_| Ok(()));
        std::mem::forget(claiming.await.unwrap());
        drop(turn);
        self.catalog = self.environment.catalog(1).await;
        self.catalog.recover().await.unwrap();
    }

    /// Kills the server after the length was set: the row has the length, and the last bytes are still a tail.
    async fn kill_settling(&mut self, size: u64) {
        let mut turn = self.catalog.shared.turns.take(self.upload).await.unwrap();
        let claiming =
            self.catalog.claim(&mut turn, self.upload, lease::Unrecorded::Count, &|_| Ok(()));
        let mut claimed = claiming.await.unwrap();
        let (upload, number) = (&mut claimed.upload, claimed.number);
        self.catalog.settle_length(&self.actor, upload, number, size).await.unwrap();
        std::mem::forget(claimed);
        drop(turn);
        self.catalog = self.environment.catalog(1).await;
        self.catalog.recover().await.unwrap();
    }

    async fn lose_power(&mut self) {
        let mut tx = self.catalog.db.write().await.unwrap();
        let upload = tx.upload(self.upload).await.unwrap().unwrap();
        let holder = Holder {
            claim: upload.newest_claim,
            instance: Uuid::from_u128(1),
            boot: None,
            until: upload.held_until,
        };
        tx.hold_upload(self.upload, &holder).await.unwrap();
        tx.commit().await.unwrap();
        self.environment.lose_what_was_not_synced(&self.catalog, &upload);
    }

    /// Sends the rest, if there is a session, then checks the result.
    async fn end(mut self) {
        if let Some(offset) = self.offset().await {
            self.send_rest(offset).await;
        }
        self.delete().await;
        let left = self.environment.left_behind().await;
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    async fn send_rest(&mut self, offset: u64) {
        let rest = self.bytes(offset, self.file.len());
        let size = self.file.len() as u64;
        let piece = Piece {
            start: StartAt::Exactly(offset),
            length: Some(rest.len() as u64),
            checksum: None,
            file_length: (self.told == Told::WithTheLastBytes).then_some(size),
        };
        let mut open = self.catalog.append(&self.actor, self.upload, piece).await.unwrap();
        open.write(rest).await.unwrap();
        open.save().await.unwrap();
        match self.told {
            Told::AtTheStart | Told::WithTheLastBytes => {}
            Told::AfterThem => {
                self.catalog.end_upload_at(&self.actor, self.upload, size).await.map(drop).unwrap();
            }
            Told::AfterThemAndKilled => self.kill_settling(size).await,
        }
        if self.told == Told::AtTheStart && self.file.len().is_multiple_of(2) {
            // Killed between the blob's final name and its row.
            let upload = self.catalog.upload(&self.actor, self.upload).await.unwrap();
            let whole = self.catalog.whole(&upload).await.unwrap();
            self.catalog.blobs.complete(&whole).await.unwrap();
        }
        let received = self.catalog.finish_upload(&self.actor, self.upload).await.unwrap();
        assert_eq!(received.file.digest, Digest::of(&self.file));
        let stored = environment::read(&self.catalog, &received.file).await;
        assert!(stored == self.file, "other bytes than were sent");
        let again = self.catalog.finish_upload(&self.actor, self.upload).await.unwrap();
        assert_eq!(again.file.digest, received.file.digest);
    }

    async fn delete(&mut self) {
        self.catalog.remove_garbage().await.unwrap();
        let revision = self.catalog.revision(&IMAGE.parse().unwrap(), self.revision).await.unwrap();
        assert_eq!(revision.files.len(), usize::from(!self.gone), "a file without its bytes");
        let context = ChangeContext::unconditional(&self.actor);
        let name = IMAGE.parse().unwrap();
        self.catalog.delete_revision(context, &name, self.revision).await.unwrap();
        self.catalog.remove_garbage().await.unwrap();
    }
}

fn whatever_is_done(
    environment: &Environment,
    cases: u32,
    sizes: impl Strategy<Value = usize>,
    lengths: Lengths,
) {
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let told = prop_oneof![
        3 => Just(Told::AtTheStart),
        1 => Just(Told::WithTheLastBytes),
        1 => Just(Told::AfterThem),
        1 => Just(Told::AfterThemAndKilled),
    ];
    let lives = (sizes, told, steps(lengths));
    let result = runner.run(&lives, |(size, told, steps)| -> TestCaseResult {
        environment.runtime.block_on(async {
            let mut trial = Trial::begin_told(environment, size, told).await;
            for step in &steps {
                trial.perform(step).await;
            }
            trial.end().await;
        });
        Ok(())
    });
    result.unwrap();
}

fn cases(usual: u32) -> u32 {
    if std::env::var("IMAGEDEPOT_TEST_LONG").is_ok() { usual * 10 } else { usual }
}

#[test]
fn whatever_is_done_to_a_session_its_file_is_the_file_sent_or_there_is_none() {
    let sizes = prop_oneof![4 => 1_usize..200_000, 2 => 1_000_000_usize..5_000_000];
    let lengths = Lengths { few: 1..40_000, many: 900_000..2_500_000 };
    whatever_is_done(&Environment::folder(), cases(100), sizes, lengths);
}

#[test]
fn whatever_is_done_to_a_session_in_a_bucket_its_file_is_the_file_sent_or_there_is_none() {
    const PART: usize = 5 << 20;
    let sizes = prop_oneof![
        1 => 1..PART,
        1 => prop_oneof![Just(PART - 1), Just(PART), Just(PART + 1), Just(2 * PART), Just(3 * PART)],
        2 => PART..4 * PART,
    ];
    let lengths = Lengths { few: 1..3_000_000, many: PART - 100_000..2 * PART + 100_000 };
    whatever_is_done(&Environment::bucket(), cases(25), sizes, lengths);
}

#[test]
fn after_a_kill_just_after_the_claim_nobody_believes_what_was_to_be_cut_off() {
    for environment in [Environment::folder(), Environment::bucket()] {
        environment.runtime.block_on(async {
            for end in [End::KilledUnprovenTwice, End::PowerLostThenKilled] {
                let mut trial = Trial::begin(&environment, 3_000_000).await;
                trial.perform(&Step::Append { length: 2_000_000, end }).await;
                trial.end().await;
            }
        });
    }
}
