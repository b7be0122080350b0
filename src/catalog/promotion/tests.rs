//! The answers to a promoter, and what a channel offers afterwards. Revisions have no bytes here, because promotion
//! does not look at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::catalog::channel::ChannelSettings;
use crate::catalog::image::ImageDefinition;
use crate::catalog::revision::RevisionChange;
use crate::catalog::revision::end::IfAssigned;
use crate::catalog::{Precondition, Rules, test_catalog};
use crate::model::{Departure, ImageKind, Role};
use crate::storage::AuditFilter;

/// An image with drafts 1 to 4, of which all but the last are ready, and an administrator.
struct Trial {
    catalog: Catalog,
    actor: Actor,
    image: ImageName,
    now: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Trial {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(1_800_000_000_000_000));
        let catalog = test_catalog::open(folder.path(), Rules::default(), &now).await;
        catalog.initialise(&"admin".parse().unwrap(), "no hash").await.unwrap();
        let trial = Self {
            catalog,
            actor: Actor { name: "admin".to_owned(), ..Actor::system("") },
            image: "win7-office".parse().unwrap(),
            now,
            _folder: folder,
        };
        let draft = ImageDefinition::bare(trial.image.clone(), ImageKind::Single);
        trial.catalog.create_image(&trial.actor, &draft).await.unwrap();
        for number in 1..=4 {
            let words = RevisionChange::default();
            let draft =
                trial.catalog.create_draft(&trial.actor, &trial.image, words).await.unwrap();
            assert_eq!(draft.revision.number, number);
            if number < 4 {
                trial.make_ready(draft.revision).await;
            }
        }
        trial
    }

    async fn make_ready(&self, mut revision: Revision) {
        revision.state = RevisionState::Ready;
        let mut tx = self.catalog.db.write().await.unwrap();
        self.catalog.save(&mut tx, &mut revision).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn real(&self) -> ChangeContext<'_> {
        ChangeContext::unconditional(&self.actor)
    }

    async fn promote_in(
        &self,
        context: ChangeContext<'_>,
        revision: i64,
        channel: &str,
    ) -> Result<Assignment> {
        let order = PromotionOrder { revision, ..PromotionOrder::default() };
        let channel = channel.parse().unwrap();
        let promoted = self.catalog.promote(context, &self.image, &channel, order).await?;
        Ok(promoted.in_force().expect("no channel here asks for approvals"))
    }

    async fn promote(&self, revision: i64) -> Result<Assignment> {
        self.promote_in(self.real(), revision, "production").await
    }

    async fn promote_all(&self, revisions: &[i64]) {
        for revision in revisions {
            self.promote(*revision).await.unwrap();
        }
    }

    async fn roll_back_as(
        &self,
        context: ChangeContext<'_>,
        order: RollbackOrder,
    ) -> Result<Assignment> {
        self.catalog.roll_back(context, &self.image, &"production".parse().unwrap(), order).await
    }

    /// Rolls back, and returns the number of the revision that the channel then offers.
    async fn roll_back(&self) -> Result<i64> {
        let assignment = self.roll_back_as(self.real(), RollbackOrder::default()).await?;
        Ok(assignment.promotion.revision)
    }

    async fn revoke(&self, revision: i64, if_assigned: IfAssigned) -> Result<()> {
        self.catalog.revoke(self.real(), &self.image, revision, if_assigned).await.map(drop)
    }

    async fn withdraw_as(&self, context: ChangeContext<'_>) -> Result<Promotion> {
        let channel = "production".parse().unwrap();
        self.catalog.withdraw(context, &self.image, &channel, Departure::default()).await
    }

    async fn withdraw(&self) {
        self.withdraw_as(self.real()).await.unwrap();
    }

    async fn offered(&self) -> Option<i64> {
        let channel = "production".parse().unwrap();
        let assignment = self.catalog.assignment(&self.image, &channel).await.ok()?;
        Some(assignment.promotion.revision)
    }
}

#[tokio::test]
async fn a_rollback_goes_to_the_newest_earlier_revision_and_never_to_one_that_was_rolled_back() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2, 3]).await;
    assert_eq!(trial.roll_back().await.unwrap(), 2);
    // Not to 3 again, which was rolled back.
    assert_eq!(trial.roll_back().await.unwrap(), 1);
    assert!(matches!(trial.roll_back().await, Err(Error::NothingToRollBackTo)));
    assert_eq!(trial.offered().await, Some(1));
}

#[tokio::test]
async fn a_rollback_goes_to_another_revision_than_the_one_that_is_offered() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2, 2]).await;
    assert_eq!(trial.roll_back().await.unwrap(), 1);
}

#[tokio::test]
async fn a_rollback_passes_over_what_was_revoked_since() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2, 3]).await;
    trial.revoke(2, IfAssigned::Refuse).await.unwrap();
    assert_eq!(trial.roll_back().await.unwrap(), 1);
}

#[tokio::test]
async fn where_nothing_was_promoted_or_only_one_revision_there_is_nothing_to_roll_back_to() {
    let trial = Trial::begin().await;
    assert!(matches!(trial.roll_back().await, Err(Error::NothingAssigned)));
    trial.promote(1).await.unwrap();
    assert!(matches!(trial.roll_back().await, Err(Error::NothingToRollBackTo)));
}

#[tokio::test]
async fn a_rollback_is_a_promotion_of_its_own_with_a_higher_epoch() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    let note = "printing is broken".to_owned();
    let order = RollbackOrder { note: note.clone(), ..RollbackOrder::default() };
    trial.roll_back_as(trial.real(), order).await.unwrap();
    let history = trial.catalog.promotions(&trial.image, None, 10).await.unwrap();
    let mut told: Vec<_> = history
        .iter()
        .map(|(entry, ..)| (entry.epoch, entry.revision, entry.kind, entry.rolled_back))
        .collect();
    told.sort_unstable_by_key(|(epoch, ..)| *epoch);
    assert_eq!(
        told,
        [
            (1, 1, PromotionKind::Promote, false),
            (2, 2, PromotionKind::Promote, true),
            (3, 1, PromotionKind::Rollback, false),
        ]
    );
}

#[tokio::test]
async fn a_rollback_as_a_new_revision_gives_the_earlier_one_the_next_number() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    let order = RollbackOrder { as_new_revision: true, ..RollbackOrder::default() };
    let assignment = trial.roll_back_as(trial.real(), order).await.unwrap();
    assert_eq!(assignment.promotion.revision, 5);
    let again = trial.catalog.revision(&trial.image, 5).await.unwrap().revision;
    assert_eq!((again.state, again.notes.as_str()), (RevisionState::Ready, "revision 1 again"));
}

#[tokio::test]
async fn what_is_no_ready_revision_is_refused() {
    let trial = Trial::begin().await;
    let draft = trial.promote(4).await;
    let is_draft = |refusal| {
        matches!(refusal, Err(Error::RevisionNotReady { number: 4, state: RevisionState::Draft }))
    };
    assert!(is_draft(draft));
    assert!(matches!(trial.promote(9).await, Err(Error::RevisionNotFound(9))));
    assert_eq!(trial.offered().await, None);
}

#[tokio::test]
async fn a_channel_may_require_that_another_had_the_revision_before() {
    let trial = Trial::begin().await;
    let requires_channel = Some(Some("test".parse().unwrap()));
    let settings = ChannelSettings { requires_channel, ..ChannelSettings::default() };
    let production = "production".parse().unwrap();
    let condition = Precondition::None;
    trial.catalog.change_channel(&trial.actor, &production, settings, &condition).await.unwrap();
    assert!(matches!(trial.promote(1).await, Err(Error::ChannelRequired { revision: 1, .. })));
    trial.promote_in(trial.real(), 1, "test").await.unwrap();
    // It was there once: that `test` has moved on does not matter.
    trial.promote_in(trial.real(), 2, "test").await.unwrap();
    trial.promote(1).await.unwrap();
    assert_eq!(trial.offered().await, Some(1));
}

#[tokio::test]
async fn only_promoters_and_whom_the_channel_names_may_promote() {
    let trial = Trial::begin().await;
    for (roles, channel, may) in [
        (vec![Role::Promoter], "production", true),
        (vec![Role::Publisher], "test", true),
        (vec![Role::Publisher], "production", false),
        (vec![], "test", false),
    ] {
        let actor = Actor { roles: roles.clone(), ..trial.actor.clone() };
        let promoted = trial.promote_in(ChangeContext::unconditional(&actor), 1, channel).await;
        assert_eq!(promoted.is_ok(), may, "{roles:?} to {channel}: {promoted:?}");
    }
}

#[tokio::test]
async fn whoever_saw_another_assignment_is_told_so_and_changes_nothing() {
    let trial = Trial::begin().await;
    let seen = trial.promote(1).await.unwrap().promotion.tag();
    trial.promote(2).await.unwrap();
    let condition = Precondition::OneOf(vec![seen]);
    let context = ChangeContext { condition: &condition, ..trial.real() };
    let stale = trial.promote_in(context, 3, "production").await;
    assert!(matches!(stale, Err(Error::Stale)));
    let stale = trial.roll_back_as(context, RollbackOrder::default()).await;
    assert!(matches!(stale, Err(Error::Stale)));
    assert_eq!(trial.offered().await, Some(2));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_offered_and_refuses_what_would_be_refused() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    let dry_run = ChangeContext { execution: Execution::DryRun, ..trial.real() };
    let told = trial.promote_in(dry_run, 3, "production").await.unwrap();
    assert_eq!((told.promotion.revision, told.promotion.epoch), (3, 3));
    let told = trial.roll_back_as(dry_run, RollbackOrder::default()).await.unwrap();
    assert_eq!(told.promotion.revision, 1);
    assert!(trial.promote_in(dry_run, 4, "production").await.is_err());
    assert_eq!(trial.offered().await, Some(2));
    assert_eq!(trial.catalog.promotions(&trial.image, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_channels_offer_is_revoked_only_where_they_may_be_rolled_back_with_it() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    let refused = trial.revoke(2, IfAssigned::Refuse).await;
    assert!(matches!(refused, Err(Error::RevisionAssigned { number: 2, .. })));
    trial.revoke(2, IfAssigned::RollBack).await.unwrap();
    assert_eq!(trial.offered().await, Some(1));
    // There is no revision before 1: it stays in use.
    assert!(matches!(trial.revoke(1, IfAssigned::RollBack).await, Err(Error::NothingToRollBackTo)));
    assert_eq!(trial.offered().await, Some(1));
    assert!(trial.catalog.ready_revision(&trial.image, 1).await.is_ok());
}

#[tokio::test]
async fn a_withdrawal_ends_the_assignment_with_an_epoch_of_its_own() {
    let trial = Trial::begin().await;
    trial.promote(1).await.unwrap();
    let told = trial.withdraw_as(trial.real()).await.unwrap();
    assert_eq!((told.epoch, told.offered_revision()), (2, None));
    assert_eq!(trial.offered().await, None);
    let history = trial.catalog.promotions(&trial.image, None, 10).await.unwrap();
    let kinds: Vec<_> = history.iter().map(|(entry, ..)| (entry.epoch, entry.kind)).collect();
    assert!(kinds.contains(&(2, PromotionKind::Withdraw)), "{kinds:?}");
    assert!(matches!(trial.withdraw_as(trial.real()).await, Err(Error::NothingAssigned)));
    assert_eq!(trial.promote(2).await.unwrap().promotion.epoch, 3);
}

#[tokio::test]
async fn what_was_withdrawn_is_never_rolled_back_to_until_it_is_promoted_again() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    trial.withdraw().await;
    // From nothing to the newest valid one before.
    assert_eq!(trial.roll_back().await.unwrap(), 1);
    trial.promote(3).await.unwrap();
    assert_eq!(trial.roll_back().await.unwrap(), 1);
    trial.promote_all(&[2, 3]).await;
    assert_eq!(trial.roll_back().await.unwrap(), 2);
}

#[tokio::test]
async fn where_the_first_image_was_withdrawn_there_is_nothing_to_roll_back_to() {
    let trial = Trial::begin().await;
    trial.promote(1).await.unwrap();
    trial.withdraw().await;
    assert!(matches!(trial.roll_back().await, Err(Error::NothingToRollBackTo)));
    assert_eq!(trial.offered().await, None);
}

#[tokio::test]
async fn a_withdrawal_is_refused_to_whoever_saw_another_assignment_and_tried_without_effect() {
    let trial = Trial::begin().await;
    let seen = trial.promote(1).await.unwrap().promotion.tag();
    trial.promote(2).await.unwrap();
    let condition = Precondition::OneOf(vec![seen]);
    let stale = ChangeContext { condition: &condition, ..trial.real() };
    assert!(matches!(trial.withdraw_as(stale).await, Err(Error::Stale)));
    let dry_run = ChangeContext { execution: Execution::DryRun, ..trial.real() };
    assert_eq!(trial.withdraw_as(dry_run).await.unwrap().epoch, 3);
    let actor = Actor { roles: vec![Role::Publisher], ..trial.actor.clone() };
    let refused = trial.withdraw_as(ChangeContext::unconditional(&actor)).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))));
    assert_eq!(trial.offered().await, Some(2));
}

#[tokio::test]
async fn what_is_revoked_is_withdrawn_where_that_is_asked_for_and_there_is_no_way_back() {
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    trial.revoke(2, IfAssigned::RollBackOrWithdraw).await.unwrap();
    assert_eq!(trial.offered().await, Some(1));
    trial.revoke(1, IfAssigned::RollBackOrWithdraw).await.unwrap();
    assert_eq!(trial.offered().await, None);
    let trial = Trial::begin().await;
    trial.promote_all(&[1, 2]).await;
    trial.revoke(2, IfAssigned::Withdraw).await.unwrap();
    assert_eq!(trial.offered().await, None);
}

#[tokio::test]
async fn lists_have_the_newest_first_whatever_the_clock_said_in_between() {
    const DAY: u64 = 86_400_000_000;
    let trial = Trial::begin().await;
    trial.promote(1).await.unwrap();
    trial.now.fetch_add(DAY, Ordering::Relaxed);
    trial.promote(2).await.unwrap();
    trial.now.fetch_sub(DAY, Ordering::Relaxed);
    trial.promote(3).await.unwrap();
    // Page by page, because the place in the list must not depend on time, either.
    let (mut promoted, mut place) = (Vec::new(), None);
    loop {
        let page = trial.catalog.promotions(&trial.image, place, 1).await.unwrap();
        let Some((promotion, _, number)) = page.into_iter().next() else { break };
        place = Some((number, promotion.created_at, promotion.id));
        promoted.push(promotion.revision);
    }
    assert_eq!(promoted, [3, 2, 1]);
    let rows = trial.catalog.audit_rows(None, &AuditFilter::default(), 100).await.unwrap();
    assert!(rows.is_sorted_by(|newer, older| newer.sequence > older.sequence));
    let actions: Vec<_> = rows.iter().take(3).map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["channel.promote"; 3]);
}
