//! The state that kills leave between the steps of a session, and its repair: by the client's next packet, or by the
//! sweep if none comes. Times and names are the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::catalog::rules::BitsRules;
use crate::catalog::{ChangeContext, Rules, test_catalog};
use crate::model::{RevisionState, UploadProtocol};

const SIZE: u64 = 1000;
const MINUTE: u64 = 60_000_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// A catalog whose clock moves only when a test moves it, and its administrator.
struct Trial {
    catalog: Catalog,
    actor: Actor,
    now: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Trial {
    async fn begin(commit: Commit) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let promote_to = Some("test".parse().unwrap());
        let bits = BitsRules { promote_to, commit, ..BitsRules::default() };
        let rules = Rules { min_free: 0, bits, ..Rules::default() };
        let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let catalog = test_catalog::open(folder.path(), rules, &now).await;
        let name = "admin".parse().unwrap();
        catalog.initialise(&name, "no hash").await.unwrap();
        catalog.try_refresh().await.unwrap();
        let actor = Actor { name: "admin".to_owned(), ..Actor::system("") };
        Self { catalog, actor, now, _folder: folder }
    }

    fn pass(&self, microseconds: u64) {
        self.now.fetch_add(microseconds, Ordering::Relaxed);
    }

    async fn open(&self, file: &str) -> BitsSession {
        let destination = self.catalog.bits_destination(file).unwrap();
        self.catalog.open_bits_session(&self.actor, &destination).await.unwrap()
    }

    /// Returns the session as a client finds it when it sends its next packet.
    async fn seen(&self, session: &BitsSession) -> Result<BitsSession> {
        let destination = self.catalog.bits_destination(&session.file_name).unwrap();
        self.catalog.bits_session(&self.actor, &destination, session.id).await
    }

    /// Sends all bytes in one fragment, up to the point where the server would conclude the session.
    async fn fill(&self, session: &BitsSession) -> Upload {
        let whole = FragmentRange { first: 0, length: SIZE, total: SIZE };
        let opened = self.catalog.take_fragment(&self.actor, session, whole).await.unwrap();
        let mut appending = opened.unwrap();
        appending.write(Bytes::from(vec![7; 1000])).await.unwrap();
        appending.save().await.unwrap()
    }

    async fn upload(&self, file: &str) {
        let session = self.open(file).await;
        let upload = self.fill(&session).await;
        self.catalog.fragment_taken(&self.actor, &session, &upload).await.unwrap();
    }

    /// Repeats the last fragment, because its answer was lost.
    async fn repeat(&self, session: &BitsSession) {
        let session = self.seen(session).await.unwrap();
        let last = FragmentRange { first: SIZE - 1, length: 1, total: SIZE };
        let opened = self.catalog.take_fragment(&self.actor, &session, last).await.unwrap();
        assert!(opened.is_none(), "bytes are asked for again");
    }

    async fn state(&self) -> RevisionState {
        let image = "win7".parse().unwrap();
        let revisions = self.catalog.revisions(&image, i64::MAX, 10).await.unwrap();
        assert_eq!(revisions.len(), 1, "a draft too many");
        revisions[0].revision.state
    }

    async fn promotions(&self) -> usize {
        let image = "win7".parse().unwrap();
        self.catalog.promotions(&image, None, 10).await.unwrap().len()
    }
}

#[test]
fn the_settings_write_commit_with_a_hyphen() {
    let read = |text: &str| serde_json::from_value::<Commit>(text.into()).ok();
    assert_eq!(read("last-fragment"), Some(Commit::LastFragment));
    assert_eq!(read("close"), Some(Commit::Close));
    assert_eq!(read("last_fragment"), None);
}

#[tokio::test]
async fn a_draft_that_was_chosen_is_kept_over_a_kill() {
    let trial = Trial::begin(Commit::LastFragment).await;
    let session = trial.open("win7.ckm").await;
    trial.catalog.make_image_if_absent(&trial.actor, &session.image, 100).await.unwrap();
    let number = trial.catalog.claim_draft(&trial.actor, &session, SIZE).await.unwrap();
    // Another file finds the role taken, although there is no upload yet.
    let other = trial.open("win7.ckm").await;
    assert_eq!(trial.catalog.claim_draft(&trial.actor, &other, SIZE).await.unwrap(), number + 1);
    let upload = trial.fill(&trial.seen(&session).await.unwrap()).await;
    assert_eq!((upload.revision, upload.id), (number, session.id));
}

#[tokio::test]
async fn an_upload_that_was_made_is_found_again() {
    let trial = Trial::begin(Commit::LastFragment).await;
    let session = trial.open("win7.ckm").await;
    trial.catalog.make_image_if_absent(&trial.actor, &session.image, 100).await.unwrap();
    let revision = trial.catalog.claim_draft(&trial.actor, &session, SIZE).await.unwrap();
    let announced = crate::catalog::upload::Announcement {
        image: session.image.clone(),
        revision,
        role: session.role,
        size: Some(SIZE),
        digest: None,
        metadata: None,
        condition: crate::catalog::Precondition::None,
        protocol: UploadProtocol::Bits,
    };
    trial.catalog.create_upload_as(&trial.actor, session.id, announced).await.unwrap();
    trial.fill(&trial.seen(&session).await.unwrap()).await;
    assert_eq!(trial.catalog.uploads(None, 10).await.unwrap().len(), 1);
    assert_eq!(trial.seen(&session).await.unwrap().state, State::Receiving);
}

#[tokio::test]
async fn a_kill_after_the_last_byte_is_made_good_by_the_repeat() {
    let trial = Trial::begin(Commit::LastFragment).await;
    trial.upload("win7.ckm").await;
    let session = trial.open("win7.ckm.index").await;
    trial.fill(&session).await;
    assert_eq!(trial.state().await, RevisionState::Draft);
    trial.repeat(&session).await;
    trial.repeat(&session).await;
    assert_eq!((trial.state().await, trial.promotions().await), (RevisionState::Ready, 1));
}

#[tokio::test]
async fn a_kill_between_file_and_seal_is_made_good_by_repeat_and_close() {
    for close in [false, true] {
        let trial = Trial::begin(Commit::LastFragment).await;
        trial.upload("win7.ckm").await;
        let session = trial.open("win7.ckm.index").await;
        trial.fill(&session).await;
        trial.catalog.finish_upload(&trial.actor, session.id).await.unwrap();
        assert_eq!(trial.state().await, RevisionState::Draft);
        if close {
            let session = trial.seen(&session).await.unwrap();
            trial.catalog.close_bits_session(&trial.actor, &session).await.unwrap();
        } else {
            trial.repeat(&session).await;
        }
        assert_eq!((trial.state().await, trial.promotions().await), (RevisionState::Ready, 1));
    }
}

#[tokio::test]
async fn a_kill_between_seal_and_promotion_is_made_good_once() {
    let trial = Trial::begin(Commit::LastFragment).await;
    trial.upload("win7.ckm").await;
    let session = trial.open("win7.ckm.index").await;
    trial.fill(&session).await;
    trial.catalog.finish_upload(&trial.actor, session.id).await.unwrap();
    let image = "win7".parse().unwrap();
    let context = ChangeContext::unconditional(&trial.actor);
    trial.catalog.seal(context, &image, 1).await.unwrap();
    assert_eq!(trial.promotions().await, 0);
    trial.repeat(&session).await;
    assert_eq!(trial.promotions().await, 1);
    // Repeating the later steps changes nothing, either.
    let session = trial.seen(&session).await.unwrap();
    trial.catalog.conclude_bits_session(&trial.actor, &session).await.unwrap();
    trial.catalog.close_bits_session(&trial.actor, &session).await.unwrap();
    assert_eq!(trial.promotions().await, 1);
}

#[tokio::test]
async fn the_sweep_makes_good_what_no_client_comes_back_for() {
    let trial = Trial::begin(Commit::LastFragment).await;
    trial.upload("win7.ckm").await;
    let session = trial.open("win7.ckm.index").await;
    trial.fill(&session).await;
    trial.catalog.finish_upload(&trial.actor, session.id).await.unwrap();
    // A request may be about to do it.
    trial.catalog.end_stale_sessions().await.unwrap();
    assert_eq!(trial.state().await, RevisionState::Draft);
    trial.pass(2 * MINUTE);
    trial.catalog.end_stale_sessions().await.unwrap();
    assert_eq!((trial.state().await, trial.promotions().await), (RevisionState::Ready, 1));
    assert_eq!(trial.seen(&session).await.unwrap().state, State::Complete);
}

#[tokio::test]
async fn what_was_cut_off_is_made_good_after_days_without_a_server() {
    let trial = Trial::begin(Commit::LastFragment).await;
    trial.upload("win7.ckm").await;
    let session = trial.open("win7.ckm.index").await;
    trial.fill(&session).await;
    trial.catalog.finish_upload(&trial.actor, session.id).await.unwrap();
    trial.pass(5 * DAY);
    trial.catalog.end_stale_sessions().await.unwrap();
    assert_eq!((trial.state().await, trial.promotions().await), (RevisionState::Ready, 1));
    trial.repeat(&session).await;
}

#[tokio::test]
async fn a_complete_session_answers_for_its_fourteen_days_and_a_closed_one_for_a_day() {
    let trial = Trial::begin(Commit::LastFragment).await;
    let complete = trial.open("win7.ckm").await;
    let upload = trial.fill(&complete).await;
    trial.catalog.fragment_taken(&trial.actor, &complete, &upload).await.unwrap();
    let closed = trial.open("win7.ckm").await;
    trial.fill(&closed).await;
    let closed = trial.seen(&closed).await.unwrap();
    trial.catalog.close_bits_session(&trial.actor, &closed).await.unwrap();
    for (days, complete_is_there, closed_is_there) in
        [(0, true, true), (2, true, false), (13, false, false)]
    {
        trial.pass(days * DAY);
        for swept in [false, true] {
            if swept {
                trial.catalog.end_stale_sessions().await.unwrap();
            }
            assert_eq!(trial.seen(&complete).await.is_ok(), complete_is_there, "{days}");
            assert_eq!(trial.seen(&closed).await.is_ok(), closed_is_there, "{days}");
        }
        if complete_is_there {
            trial.repeat(&complete).await;
        }
    }
}

#[tokio::test]
async fn a_session_that_receives_lives_as_long_as_its_upload() {
    let trial = Trial::begin(Commit::Close).await;
    let session = trial.open("win7.ckm").await;
    trial.fill(&session).await;
    trial.pass(13 * DAY);
    trial.repeat(&session).await;
    trial.pass(2 * DAY);
    trial.catalog.end_stale_sessions().await.unwrap();
    assert!(matches!(trial.seen(&session).await, Err(Error::UploadNotFound)));
}
