//! Random lives of sessions: whatever is done to one, in whatever order, its file is the file that was
//! sent, or there is no file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;
use crate::catalog::image::ImageDraft;
use crate::catalog::revision::RevisionChange;
use crate::catalog::{Precondition, Rules};
use crate::model::{Clock, Digest, FileRole, Ids, ImageKind};
use crate::storage::tree::TreeFolder;
use crate::storage::{Blobs, Db, Holder};

/// What somebody does to a session.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes at the offset that the server tells, ended in some way.
    Append {
        length: usize,
        end: End,
    },
    /// Bytes that the server has, or that leave a gap: refused.
    AppendElsewhere {
        distance: i64,
        length: usize,
    },
    /// Bytes of which the first are there already, as BITS sends them after a lost answer.
    AppendOverlapping {
        back: usize,
        length: usize,
    },
    /// A second request comes while the first still writes.
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
    /// Two weeks pass.
    Expire,
}

/// How an append ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Saved,
    /// The line breaks and the request is dropped.
    Dropped,
    /// As before, while bytes are being written.
    DroppedWhileWriting,
    /// SIGKILL.
    Killed,
    /// The machine goes down, and what was not synced is garbage afterwards.
    PowerLost,
    WithChecksum,
    WithWrongChecksum,
    /// The server is killed before the checksum could be compared.
    KilledUnproven,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![4 => 1_usize..40_000, 1 => 900_000_usize..2_500_000];
    let end = prop_oneof![
        Just(End::Saved),
        Just(End::Dropped),
        Just(End::DroppedWhileWriting),
        Just(End::Killed),
        Just(End::PowerLost),
        Just(End::WithChecksum),
        Just(End::WithWrongChecksum),
        Just(End::KilledUnproven),
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

/// A catalog in a folder, and the one session that is being tried.
struct Trial {
    folder: PathBuf,
    now: Arc<AtomicU64>,
    catalog: Catalog,
    actor: Actor,
    file: Bytes,
    upload: Uuid,
    revision: i64,
    /// What was acknowledged: never to be lost.
    acknowledged: u64,
    /// Cancelled or expired.
    gone: bool,
}

async fn catalog(folder: &Path, now: &Arc<AtomicU64>, instance: u128) -> Catalog {
    let db =
        Db::open(&format!("sqlite:{}", folder.join("catalog.sqlite").display())).await.unwrap();
    db.migrate().await.unwrap();
    let blobs = Blobs::open_folder(&folder.join("blobs")).unwrap();
    let tree = TreeFolder::open(&folder.join("tree")).unwrap();
    let rules = Rules { min_free: 0, ..Rules::default() };
    let clock = Clock::Fixed(Arc::clone(now));
    Catalog::new(db, blobs, tree, rules, clock, Ids, Uuid::from_u128(instance))
}

const IMAGE: &str = "win7-office";

impl Trial {
    async fn begin(folder: &Path, now: &Arc<AtomicU64>, size: usize) -> Self {
        let catalog = catalog(folder, now, 1).await;
        let actor = Actor::system("tester");
        let draft = catalog
            .create_draft(&actor, &IMAGE.parse().unwrap(), RevisionChange::default())
            .await
            .unwrap();
        let announced = Announcement {
            image: draft.image.name,
            revision: draft.revision.number,
            role: FileRole::Ckm,
            size: size as u64,
            digest: None,
            condition: Precondition::None,
            protocol: UploadProtocol::Json,
        };
        let upload = catalog.create_upload(&actor, announced).await.unwrap();
        // No two pieces are alike, so that one in the place of another is seen.
        let file = (0_u32..).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes());
        Self {
            folder: folder.to_owned(),
            now: Arc::clone(now),
            catalog,
            actor,
            file: file.take(size).collect::<Vec<u8>>().into(),
            upload: upload.id,
            revision: draft.revision.number,
            acknowledged: 0,
            gone: false,
        }
    }

    /// The bytes from `from` on, as many of them as there are.
    fn bytes(&self, from: u64, length: usize) -> Bytes {
        let from = usize::try_from(from).unwrap().min(self.file.len());
        self.file.slice(from..(from + length).min(self.file.len()))
    }

    async fn offset(&mut self) -> Option<u64> {
        match self.catalog.halt_upload(&self.actor, self.upload).await {
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

    async fn take(&mut self, step: &Step) {
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
                Box::pin(self.two_writers(offset, first, second)).await;
            }
            Step::OtherServer { length } => self.other_server(length).await,
            Step::Ask => {}
            Step::Cancel => {
                self.catalog.cancel_upload(&self.actor, self.upload).await.unwrap();
                self.gone = true;
            }
            Step::Expire => {
                self.now.fetch_add(15 * 24 * 3_600_000_000, Ordering::Relaxed);
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
        self.catalog.append(&self.actor, self.upload, start, length, checksum).await
    }

    async fn append(&mut self, offset: u64, length: usize, end: End) {
        let bytes = self.bytes(offset, length);
        let checksum = match end {
            End::WithChecksum | End::KilledUnproven => {
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
            End::Killed | End::KilledUnproven => {
                self.kill(open).await;
                let unproven = matches!(end, End::KilledUnproven);
                assert!(!unproven || self.offset().await == Some(offset));
            }
            End::PowerLost => {
                self.kill(open).await;
                self.lose_power().await;
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

    /// The first is stopped by the second's coming, and what it had is kept.
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

    /// Goes on at a server that knows this one only from the catalog; this one's writer died.
    async fn other_server(&mut self, length: usize) {
        let offset = self.acknowledged;
        let bytes = self.bytes(offset, length);
        let open = self.open(StartAt::Exactly(offset), bytes.len(), None).await.unwrap();
        std::mem::forget(open);
        self.now.fetch_add(31_000_000, Ordering::Relaxed);
        self.catalog = catalog(&self.folder, &self.now, 2).await;
        let mut open = self.open(StartAt::Exactly(offset), bytes.len(), None).await.unwrap();
        open.write(bytes).await.unwrap();
        self.acknowledged = open.save().await.unwrap().received;
        self.catalog = catalog(&self.folder, &self.now, 1).await;
    }

    /// Nothing of this process's memory is left, and nobody tidied up.
    async fn kill(&mut self, mut open: Appending) {
        // What is being written goes on to its end, what is only collected is lost.
        open.0.as_mut().unwrap().appender.stop().await;
        std::mem::forget(open);
        self.catalog = catalog(&self.folder, &self.now, 1).await;
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
        let path = self.catalog.blobs.local_path(&upload.blob_key).unwrap();
        let path = path.with_extension("part");
        let mut bytes = std::fs::read(&path).unwrap();
        let kept = usize::try_from(upload.received).unwrap();
        bytes[kept..].fill(0xee);
        std::fs::write(&path, bytes).unwrap();
    }

    /// Sends the rest, if there is a session; then looks at what came of it.
    async fn end(mut self) {
        if let Some(offset) = self.offset().await {
            let rest = self.bytes(offset, self.file.len());
            let mut open = self.open(StartAt::Exactly(offset), rest.len(), None).await.unwrap();
            open.write(rest).await.unwrap();
            open.save().await.unwrap();
            if self.file.len().is_multiple_of(2) {
                // Killed between the blob's name and its row.
                let upload = self.catalog.upload(&self.actor, self.upload).await.unwrap();
                self.catalog.blobs.complete(&upload.blob_key).await.unwrap();
            }
            let received = self.catalog.finish_upload(&self.actor, self.upload).await.unwrap();
            assert_eq!(received.file.digest, Digest::of(&self.file));
            let path = self.catalog.blobs.local_path(&received.file.blob_key).unwrap();
            assert!(std::fs::read(path).unwrap() == self.file, "other bytes than were sent");
            let again = self.catalog.finish_upload(&self.actor, self.upload).await.unwrap();
            assert_eq!(again.file.digest, received.file.digest);
        }
        self.catalog.remove_garbage().await.unwrap();
        let revision = self.catalog.revision(&IMAGE.parse().unwrap(), self.revision).await.unwrap();
        assert_eq!(revision.files.len(), usize::from(!self.gone), "a file without its bytes");
        let change = Precondition::None;
        let name = IMAGE.parse().unwrap();
        self.catalog
            .delete_revision(&self.actor, &name, self.revision, &change, false)
            .await
            .unwrap();
        self.catalog.remove_garbage().await.unwrap();
        let left = walk(&self.folder.join("blobs"));
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(folder).unwrap().map(|shard| shard.unwrap().path());
    shards
        .flat_map(|shard| std::fs::read_dir(shard).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

async fn prepared(folder: &Path, now: &Arc<AtomicU64>) {
    let catalog = catalog(folder, now, 1).await;
    let image = ImageDraft {
        name: IMAGE.parse().unwrap(),
        kind: ImageKind::Medv,
        extension: None,
        description: String::new(),
        labels: std::collections::BTreeMap::new(),
        keep_revisions: None,
    };
    catalog.create_image(&Actor::system("tester"), &image).await.unwrap();
}

#[test]
fn whatever_is_done_to_a_session_its_file_is_the_file_sent_or_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
    runtime.block_on(prepared(folder.path(), &now));
    let cases = if std::env::var("IMAGEDEPOT_TEST_LONG").is_ok() { 2000 } else { 100 };
    let size = prop_oneof![4 => 1_usize..200_000, 2 => 1_000_000_usize..5_000_000];
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(size, steps()), |(size, steps)| -> TestCaseResult {
        runtime.block_on(async {
            let mut trial = Trial::begin(folder.path(), &now, size).await;
            for step in &steps {
                Box::pin(trial.take(step)).await;
            }
            trial.end().await;
        });
        Ok(())
    });
    result.unwrap();
}
