//! Random lives of images: whatever is uploaded, promoted, rolled back, revoked, deleted and collected, in whatever
//! order, no byte that something refers to is ever removed, and all others are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::*;
use crate::catalog::image::{ImageChange, ImageDefinition};
use crate::catalog::promotion::{PromotionOrder, RollbackOrder};
use crate::catalog::revision::end::IfAssigned;
use crate::catalog::revision::{RevisionChange, RevisionDetails};
use crate::catalog::upload::Announcement;
use crate::catalog::{Actor, ChangeContext, Error, Execution, Precondition, Rules, test_catalog};
use crate::model::{Digest, FileRole, Ids, ImageKind, ImageName, UploadProtocol};

const IMAGES: [&str; 3] = ["one", "two", "three"];
const CHANNELS: [&str; 2] = ["test", "production"];
const MINUTE: u64 = 60_000_000;

/// One step in the lives of the images. Revisions are picked among the existing ones.
#[derive(Debug, Clone)]
enum Step {
    Upload {
        image: usize,
        size: usize,
        seal: bool,
    },
    /// An upload that its client gives up.
    Abandon {
        image: usize,
    },
    Promote {
        image: usize,
        channel: usize,
        pick: usize,
    },
    RollBack {
        image: usize,
        channel: usize,
        as_new_revision: bool,
    },
    Revoke {
        image: usize,
        pick: usize,
        roll_back: bool,
    },
    Delete {
        image: usize,
        pick: usize,
    },
    Protect {
        image: usize,
        pick: usize,
        protected: bool,
    },
    Keep {
        image: usize,
        revisions: Option<i64>,
    },
    Reconcile,
    Sweep,
    /// A collection; the dry run must report what the run does.
    Collect {
        immediately: bool,
    },
    Pass {
        minutes: u64,
    },
    /// Adds bytes that no row knows.
    Stranger,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let image = || 0..IMAGES.len();
    let pick = || 0_usize..20;
    prop_oneof![
        6 => (image(), 0_usize..3000, prop::bool::weighted(0.9))
            .prop_map(|(image, size, seal)| Step::Upload { image, size, seal }),
        1 => image().prop_map(|image| Step::Abandon { image }),
        6 => (image(), 0..CHANNELS.len(), pick())
            .prop_map(|(image, channel, pick)| Step::Promote { image, channel, pick }),
        3 => (image(), 0..CHANNELS.len(), any::<bool>())
            .prop_map(|(image, channel, as_new_revision)| Step::RollBack { image, channel, as_new_revision }),
        1 => (image(), pick(), any::<bool>())
            .prop_map(|(image, pick, roll_back)| Step::Revoke { image, pick, roll_back }),
        3 => (image(), pick()).prop_map(|(image, pick)| Step::Delete { image, pick }),
        1 => (image(), pick(), any::<bool>())
            .prop_map(|(image, pick, protected)| Step::Protect { image, pick, protected }),
        1 => (image(), prop::option::of(1_i64..4))
            .prop_map(|(image, revisions)| Step::Keep { image, revisions }),
        2 => Just(Step::Reconcile),
        2 => Just(Step::Sweep),
        3 => any::<bool>().prop_map(|immediately| Step::Collect { immediately }),
        2 => prop_oneof![1_u64..100, 1000_u64..2000].prop_map(|minutes| Step::Pass { minutes }),
        1 => Just(Step::Stranger),
        1 => Just(Step::Restart),
    ]
}

/// A catalog with a clock that only the test moves, and its administrator.
struct Trial {
    catalog: Catalog,
    actor: Actor,
    now: Arc<AtomicU64>,
    folder: TempDir,
}

impl Trial {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let catalog = open(&folder, &now).await;
        catalog.initialise(&"admin".parse().unwrap(), "no hash").await.unwrap();
        catalog.try_refresh().await.unwrap();
        catalog.claim_store().await.unwrap();
        let trial = Self { catalog, actor: Actor::system("tester"), now, folder };
        for name in IMAGES {
            let image = ImageDefinition::bare(name.parse().unwrap(), ImageKind::Single);
            trial.catalog.create_image(&trial.actor, &image).await.unwrap();
        }
        trial
    }

    async fn perform(&mut self, step: &Step) {
        let done = match step {
            Step::Upload { image, size, seal } => self.upload(IMAGES[*image], *size, *seal).await,
            Step::Abandon { image } => self.abandon(IMAGES[*image]).await,
            Step::Promote { image, channel, pick } => self.promote(*image, *channel, *pick).await,
            Step::RollBack { image, channel, as_new_revision } => {
                let (image, channel) = (name(*image), CHANNELS[*channel].parse().unwrap());
                let order =
                    RollbackOrder { as_new_revision: *as_new_revision, ..RollbackOrder::default() };
                let context = ChangeContext::unconditional(&self.actor);
                self.catalog.roll_back(context, &image, &channel, order).await.map(drop)
            }
            Step::Revoke { image, pick, roll_back } => {
                let Some(revision) = self.pick(*image, *pick).await else { return };
                let context = ChangeContext::unconditional(&self.actor);
                let if_assigned =
                    if *roll_back { IfAssigned::RollBack } else { IfAssigned::Refuse };
                self.catalog.revoke(context, &name(*image), revision, if_assigned).await.map(drop)
            }
            Step::Delete { image, pick } => {
                let Some(revision) = self.pick(*image, *pick).await else { return };
                let context = ChangeContext::unconditional(&self.actor);
                self.catalog.delete_revision(context, &name(*image), revision).await
            }
            Step::Protect { image, pick, protected } => {
                let Some(revision) = self.pick(*image, *pick).await else { return };
                let change =
                    RevisionChange { protected: Some(*protected), ..RevisionChange::default() };
                let (image, condition) = (name(*image), Precondition::None);
                self.catalog
                    .change_revision(&self.actor, &image, revision, change, &condition)
                    .await
                    .map(drop)
            }
            Step::Keep { image, revisions } => {
                let change =
                    ImageChange { keep_revisions: Some(*revisions), ..ImageChange::default() };
                let (image, condition) = (name(*image), Precondition::None);
                self.catalog.change_image(&self.actor, &image, change, &condition).await.map(drop)
            }
            Step::Reconcile => self.catalog.reconcile().await.map(drop),
            Step::Sweep => self.catalog.sweep().await,
            Step::Collect { immediately } => return self.collect(*immediately).await,
            Step::Pass { minutes } => return self.pass(*minutes),
            Step::Stranger => return self.put_stranger(),
            Step::Restart => return self.restart().await,
        };
        // Refusals are allowed, but failures are not.
        assert!(!matches!(done, Err(Error::Storage(_) | Error::JobTaken)), "{step:?}: {done:?}");
    }

    async fn upload(&self, image: &str, size: usize, seal: bool) -> Result<()> {
        let (image, bytes) = (image.parse().unwrap(), vec![7; size]);
        let draft =
            self.catalog.create_draft(&self.actor, &image, RevisionChange::default()).await?;
        let number = draft.revision.number;
        let mut incoming =
            self.catalog.receive(&self.actor, announced(&image, number, size)).await?;
        incoming.write(Bytes::from(bytes)).await?;
        incoming.finish(&self.actor).await?;
        if seal {
            self.catalog.seal(ChangeContext::unconditional(&self.actor), &image, number).await?;
        }
        Ok(())
    }

    async fn abandon(&self, image: &str) -> Result<()> {
        let image = image.parse().unwrap();
        let draft =
            self.catalog.create_draft(&self.actor, &image, RevisionChange::default()).await?;
        let announced = announced(&image, draft.revision.number, 1000);
        let mut incoming = self.catalog.receive(&self.actor, announced).await?;
        incoming.write(Bytes::from_static(b"only the first")).await?;
        incoming.abandon().await;
        Ok(())
    }

    async fn promote(&self, image: usize, channel: usize, pick: usize) -> Result<()> {
        let Some(revision) = self.pick(image, pick).await else { return Ok(()) };
        let (image, channel) = (name(image), CHANNELS[channel].parse().unwrap());
        let order = PromotionOrder { revision, ..PromotionOrder::default() };
        let context = ChangeContext::unconditional(&self.actor);
        self.catalog.promote(context, &image, &channel, order).await.map(drop)
    }

    /// Picks a revision, mostly one of the newest.
    async fn pick(&self, image: usize, pick: usize) -> Option<i64> {
        let revisions = self.catalog.revisions(&name(image), i64::MAX, 50).await.unwrap();
        let count = revisions.len().clamp(1, 20);
        revisions.get(pick % count).map(|details| details.revision.number)
    }

    async fn collect(&self, immediately: bool) {
        let order = CollectionOrder { immediately, ..CollectionOrder::default() };
        let told = self
            .catalog
            .collect(CollectionOrder { execution: Execution::DryRun, ..order })
            .await
            .unwrap();
        let done = self.catalog.collect(order).await.unwrap();
        assert_eq!(told, done);
        self.nothing_is_lost().await;
        self.nothing_published_is_lost().await;
    }

    fn pass(&self, minutes: u64) {
        self.now.fetch_add(minutes * MINUTE, Ordering::Relaxed);
    }

    fn put_stranger(&self) {
        let path = self.catalog.blobs().local_path(&Ids.blob_key()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "nobody knows me").unwrap();
    }

    async fn restart(&mut self) {
        self.catalog = open(&self.folder, &self.now).await;
        self.catalog.recover().await.unwrap();
        self.catalog.try_refresh().await.unwrap();
    }

    async fn living(&self) -> Vec<RevisionDetails> {
        let mut all = Vec::new();
        for image in IMAGES {
            let image = image.parse().unwrap();
            all.extend(self.catalog.revisions(&image, i64::MAX, i64::MAX).await.unwrap());
        }
        all
    }

    async fn nothing_is_lost(&self) {
        for details in self.living().await {
            for file in &details.files {
                let reader = self.catalog.blobs.reader(&file.blob_key, file.size).await.unwrap();
                let bytes: Vec<_> = reader.stream(0..file.size).try_collect().await.unwrap();
                assert_eq!(Digest::of(&bytes.concat()), file.digest, "{}", details.subject());
            }
        }
    }

    /// Checks that every file in the tree was made from bytes that are there.
    async fn nothing_published_is_lost(&self) {
        let stored = self.stored();
        for file in self.catalog.db.read().await.unwrap().known_files().await.unwrap() {
            assert!(stored.contains(&file.blob_key), "{}", file.publication.path);
        }
    }

    /// Returns the keys of all stored blobs.
    fn stored(&self) -> BTreeSet<String> {
        let shards = std::fs::read_dir(self.folder.path().join("blobs")).unwrap();
        let shards = shards.map(|shard| shard.unwrap().path()).filter(|path| path.is_dir());
        let files = shards.flat_map(|shard| std::fs::read_dir(shard).unwrap());
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Checks that after all grace periods exactly the revisions' bytes are stored.
    async fn end(self) {
        for _ in 0..2 {
            self.catalog.reconcile().await.unwrap();
            self.pass(3 * 24 * 60);
            self.catalog.reconcile().await.unwrap();
            self.collect(false).await;
            self.pass(3 * 24 * 60);
            self.collect(false).await;
        }
        let files = self.living().await.into_iter().flat_map(|details| details.files);
        let expected: BTreeSet<String> = files.map(|file| file.blob_key).collect();
        assert_eq!(self.stored(), expected);
    }
}

fn name(image: usize) -> ImageName {
    IMAGES[image].parse().unwrap()
}

fn announced(image: &ImageName, revision: i64, size: usize) -> Announcement {
    Announcement {
        image: image.clone(),
        revision,
        role: FileRole::Image,
        size: Some(size as u64),
        digest: None,
        metadata: None,
        condition: Precondition::None,
        protocol: UploadProtocol::Put,
    }
}

async fn open(folder: &TempDir, now: &Arc<AtomicU64>) -> Catalog {
    let rules = Rules { min_free: 0, ..Rules::default() };
    test_catalog::open(folder.path(), rules, now).await
}

/// Covers a revision's bytes that were published for another revision, which is deleted since.
#[tokio::test]
async fn a_dry_run_knows_what_the_tree_still_needs() {
    let mut trial = Trial::begin().await;
    let upload = |size| Step::Upload { image: 0, size, seal: true };
    let promote = |pick| Step::Promote { image: 0, channel: 0, pick };
    let steps = [
        upload(100),
        upload(200),
        promote(1),
        promote(0),
        Step::RollBack { image: 0, channel: 0, as_new_revision: true },
        upload(300),
        promote(0),
        Step::Reconcile,
        upload(400),
        promote(0),
        Step::Reconcile,
        Step::Delete { image: 0, pick: 2 },
        Step::Keep { image: 0, revisions: Some(1) },
        Step::Collect { immediately: true },
    ];
    for step in &steps {
        trial.perform(step).await;
    }
    trial.end().await;
}

/// Runs ten thousand steps in all.
#[test]
fn whatever_happens_to_images_their_bytes_stay_and_all_others_go() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
    let lives = proptest::collection::vec(step(), 500);
    let tried = TestRunner::new(config).run(&lives, |steps| {
        runtime.block_on(async {
            let mut trial = Trial::begin().await;
            for step in &steps {
                trial.perform(step).await;
            }
            trial.end().await;
        });
        Ok(())
    });
    tried.unwrap();
}
