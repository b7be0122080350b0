//! The answers to a client in each situation, and the time of its next check.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::catalog::snapshot::OfferedPath;
use crate::model::{FileRole, OfferedImage, Promotion, PromotionKind, Terms};

/// Returns an image of which these revisions were revoked.
fn image(revoked: &[i64]) -> ImageOffer {
    let image = OfferedImage { id: Uuid::nil(), name: "win7-office".parse().unwrap() };
    ImageOffer { revoked: revoked.iter().copied().collect(), ..ImageOffer::blank(image) }
}

/// Returns the offer of a channel to which this revision was promoted.
fn offer(revision: i64) -> Offer {
    let promotion = Promotion {
        id: Uuid::nil(),
        image_id: Uuid::nil(),
        channel_id: Uuid::nil(),
        revision_id: Uuid::nil(),
        revision,
        epoch: 1,
        kind: PromotionKind::Promote,
        terms: Terms::default(),
        rolled_back: false,
        created_by: "admin".to_owned(),
        created_at: DateTime::UNIX_EPOCH,
    };
    let file = OfferedPath {
        role: FileRole::Image,
        path: "win7-office.vhdx".to_owned(),
        size: 3,
        digest: Digest::of(b"abc"),
    };
    Offer { promotion, files: vec![file] }
}

/// Returns an offer whose bytes were found damaged.
fn halted(revision: i64) -> Offer {
    Offer { files: Vec::new(), ..offer(revision) }
}

/// Returns the last entry of a history that ends with a withdrawal.
fn withdrawal(revision: i64) -> Promotion {
    Promotion { kind: PromotionKind::Withdraw, epoch: 2, ..offer(revision).promotion }
}

/// Returns the answer to a client that has revision `current`, with the revision that it is to have.
fn told(image: &ImageOffer, offer: Option<&Offer>, current: i64) -> (Action, Reason, Option<i64>) {
    let standing = offer.map_or(Standing::Unknown, Standing::Offered);
    let decision = decide(image, standing, current);
    let target = decision.target.map(|target| target.promotion.revision);
    (decision.action, decision.reason, target)
}

#[test]
fn before_the_first_promotion_there_is_nothing_to_do() {
    for current in [0, 1, 7] {
        let answer = told(&image(&[1]), None, current);
        assert_eq!(answer, (Action::None, Reason::NothingAssigned, None), "has {current}");
    }
}

#[test]
fn a_client_that_has_nothing_is_to_install_what_the_channel_offers() {
    let answer = told(&image(&[]), Some(&offer(5)), 0);
    assert_eq!(answer, (Action::Update, Reason::FirstInstall, Some(5)));
}

#[test]
fn a_client_that_has_what_the_channel_offers_is_to_do_nothing() {
    let up_to_date = (Action::None, Reason::UpToDate, None);
    assert_eq!(told(&image(&[]), Some(&offer(5)), 5), up_to_date);
    // Also if that was revoked or halted: there is nothing else to change to.
    assert_eq!(told(&image(&[5]), Some(&offer(5)), 5), up_to_date);
    assert_eq!(told(&image(&[]), Some(&halted(5)), 5), up_to_date);
}

#[test]
fn a_client_that_is_behind_is_to_update_and_told_whether_what_it_has_was_revoked() {
    let image = image(&[3]);
    assert_eq!(told(&image, Some(&offer(5)), 4), (Action::Update, Reason::NewerRevision, Some(5)));
    assert_eq!(
        told(&image, Some(&offer(5)), 3),
        (Action::Update, Reason::RevisionRevoked, Some(5))
    );
}

#[test]
fn a_client_that_is_ahead_is_to_go_back_and_told_whether_what_it_has_was_revoked() {
    let image = image(&[7]);
    assert_eq!(told(&image, Some(&offer(5)), 6), (Action::Rollback, Reason::RolledBack, Some(5)));
    assert_eq!(
        told(&image, Some(&offer(5)), 7),
        (Action::Rollback, Reason::RevisionRevoked, Some(5))
    );
}

#[test]
fn damaged_bytes_are_offered_to_nobody_whatever_else_would_be_the_reason() {
    let image = image(&[3, 7]);
    for current in [0, 3, 4, 6, 7] {
        let answer = told(&image, Some(&halted(5)), current);
        assert_eq!(answer, (Action::Hold, Reason::Halted, None), "has {current}");
    }
}

#[test]
fn the_assignment_is_shown_whatever_the_client_is_told() {
    for (offer, current) in [(offer(5), 5), (offer(5), 1), (halted(5), 1)] {
        let image = image(&[]);
        let shown = decide(&image, Standing::Offered(&offer), current).latest;
        assert_eq!(shown.map(|promotion| promotion.revision), Some(5));
    }
}

#[test]
fn where_the_image_was_withdrawn_everyone_keeps_what_there_is_and_hears_the_new_epoch() {
    let (image, withdrawal) = (image(&[3]), withdrawal(5));
    for (current, reason) in [
        (0, Reason::Withdrawn),
        (4, Reason::Withdrawn),
        (5, Reason::Withdrawn),
        (7, Reason::Withdrawn),
        // This reason comes first, because it is worse.
        (3, Reason::RevisionRevoked),
    ] {
        let decision = decide(&image, Standing::Withdrawn(&withdrawal), current);
        assert_eq!((decision.action, decision.reason), (Action::Hold, reason), "has {current}");
        assert!(decision.target.is_none(), "has {current}");
        assert_eq!(decision.latest.map(|latest| latest.epoch), Some(2), "has {current}");
    }
}

proptest! {
    #[test]
    fn every_client_keeps_its_own_slot(name in "[a-z0-9]{1,20}", from in 0_i64..4_000_000_000, later in 0_i64..899) {
        let client: ClientId = name.parse().unwrap();
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let wait = |second: i64| i64::try_from(seconds_until_slot(&client, 900, at(second))).unwrap();
        prop_assert!((30..930).contains(&wait(from)));
        prop_assert_eq!((from + wait(from)) % 900, (from + later + wait(from + later)) % 900);
    }
}

#[test]
fn a_fleet_spreads_over_the_period() {
    let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let mut minutes = [0_u32; 16];
    for n in 0..9000 {
        let client: ClientId = format!("pc-{n}").parse().unwrap();
        let wait = usize::try_from(seconds_until_slot(&client, 900, now)).unwrap();
        minutes[wait / 60] += 1;
    }
    // 600 a minute on average. The first and the last minute are only half used, because waits begin at 30 s.
    assert!(minutes[1..15].iter().all(|count| (480..720).contains(count)), "{minutes:?}");
}
