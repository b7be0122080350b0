//! The answers to a client in each situation, the order of the rules, and the time of the next check.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::explain::{Outcome, explain};
use super::*;
use crate::catalog::snapshot::{Offer, OfferedPath, OfferedRevision, PreviousOffer};
use crate::model::promotion::Progress;
use crate::model::{
    ClientId, Digest, FileRole, Halted, OfferedImage, Promotion, PromotionKind, Terms,
};
use crate::rollout::slot::seconds_until_slot;

const CHANNEL: &str = "production";

fn noon() -> DateTime<Utc> {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

/// Returns an image of which these revisions were revoked.
fn image(revoked: &[i64]) -> ImageOffer {
    let image = OfferedImage { id: Uuid::nil(), name: "win7-office".parse().unwrap() };
    ImageOffer { revoked: revoked.iter().copied().collect(), ..ImageOffer::blank(image) }
}

fn promotion(revision: i64, epoch: i64) -> Promotion {
    Promotion {
        id: Uuid::from_u128(u128::try_from(epoch).unwrap()),
        image_id: Uuid::nil(),
        channel_id: Uuid::nil(),
        revision_id: Uuid::nil(),
        revision,
        epoch,
        kind: PromotionKind::Promote,
        terms: Terms::default(),
        rolled_back: false,
        created_by: "admin".to_owned(),
        created_at: noon() - TimeDelta::hours(1),
        progress: Progress::default(),
    }
}

fn revision(number: i64) -> OfferedRevision {
    let file = OfferedPath {
        role: FileRole::Image,
        path: format!("win7-office_{number}.vhdx"),
        size: 3,
        digest: Digest::of(b"abc"),
        transfers: Arc::default(),
    };
    OfferedRevision { number, files: Arc::from([file]) }
}

/// Returns a promotion with a rollout, made an hour before noon on 2026-12-01.
pub fn promotion_with(rollout: serde_json::Value) -> Promotion {
    let mut promotion = promotion(6, 2);
    promotion.terms.rollout = serde_json::from_value(rollout).unwrap();
    promotion
}

/// Returns the offer of a channel to which this revision was promoted, with a rollout.
fn offer(number: i64, rollout: serde_json::Value) -> Offer {
    let promotion = Promotion { revision: number, ..promotion_with(rollout) };
    Offer { promotion, assigned: revision(number), before: None }
}

/// Returns the same with an assignment before.
fn after(previous: i64, offer: Offer) -> Offer {
    let before = PreviousOffer { promotion: promotion(previous, 1), revision: revision(previous) };
    Offer { before: Some(before), ..offer }
}

/// Returns an offer whose bytes were found damaged.
fn damaged(number: i64) -> Offer {
    let assigned = OfferedRevision { number, files: Arc::default() };
    Offer { assigned, ..offer(number, json!({})) }
}

fn with(mut image: ImageOffer, offer: Offer) -> ImageOffer {
    image.offers.insert(CHANNEL.to_owned(), Arc::new(offer));
    image
}

fn withdrawn(mut image: ImageOffer, revision: i64) -> ImageOffer {
    let withdrawal = Promotion { kind: PromotionKind::Withdraw, ..promotion(revision, 2) };
    image.withdrawn.insert(CHANNEL.to_owned(), Arc::new(withdrawal));
    image
}

type Told = (Action, Reason, Option<i64>);

/// Returns the answer to a client that has revision `current`.
fn told_to(image: &ImageOffer, client: Option<&str>, current: i64, now: DateTime<Utc>) -> Told {
    let client = client.map(|client| client.parse().unwrap());
    let question = Question { current, client: client.as_ref(), group: None, now };
    let decision = decide(image, &CHANNEL.parse().unwrap(), question);
    (decision.action, decision.reason, decision.target.map(|target| target.number))
}

fn told(image: &ImageOffer, current: i64) -> Told {
    told_to(image, Some("PC-1"), current, noon())
}

#[test]
fn before_the_first_promotion_there_is_nothing_to_do() {
    for current in [0, 1, 7] {
        let answer = told(&image(&[1]), current);
        assert_eq!(answer, (Action::None, Reason::NothingAssigned, None), "has {current}");
    }
}

#[test]
fn without_a_rollout_everybody_is_led_to_what_the_channel_offers() {
    let image = with(image(&[3, 7]), offer(5, json!({})));
    for (current, answer) in [
        (0, (Action::Update, Reason::FirstInstall, Some(5))),
        (3, (Action::Update, Reason::RevisionRevoked, Some(5))),
        (4, (Action::Update, Reason::NewerRevision, Some(5))),
        (5, (Action::None, Reason::UpToDate, None)),
        (6, (Action::Rollback, Reason::RolledBack, Some(5))),
        (7, (Action::Rollback, Reason::RevisionRevoked, Some(5))),
    ] {
        assert_eq!(told(&image, current), answer, "has {current}");
    }
}

#[test]
fn damaged_bytes_are_offered_to_nobody_and_those_before_to_whoever_has_less() {
    let alone = with(image(&[]), damaged(5));
    for current in [0, 4, 6] {
        assert_eq!(told(&alone, current), (Action::Hold, Reason::Halted, None), "has {current}");
    }
    let before = with(image(&[3]), after(4, damaged(5)));
    for (current, answer) in [
        (0, (Action::Update, Reason::FirstInstall, Some(4))),
        (3, (Action::Update, Reason::RevisionRevoked, Some(4))),
        (4, (Action::Hold, Reason::Halted, None)),
        (5, (Action::None, Reason::UpToDate, None)),
    ] {
        assert_eq!(told(&before, current), answer, "has {current}");
    }
}

#[test]
fn where_the_image_was_withdrawn_everyone_keeps_what_there_is_and_hears_the_new_epoch() {
    let image = withdrawn(image(&[3]), 5);
    for (current, reason) in [
        (0, Reason::Withdrawn),
        (4, Reason::Withdrawn),
        (5, Reason::Withdrawn),
        (7, Reason::Withdrawn),
        // This reason comes first, because it is worse.
        (3, Reason::RevisionRevoked),
    ] {
        assert_eq!(told(&image, current), (Action::Hold, reason, None), "has {current}");
    }
    let question = Question { current: 4, client: None, group: None, now: noon() };
    let decision = decide(&image, &CHANNEL.parse().unwrap(), question);
    assert_eq!(decision.latest.map(|latest| latest.epoch), Some(2));
}

#[test]
fn whoever_is_held_keeps_or_is_offered_the_assignment_before() {
    for (rollout, reason) in [
        (json!({"percent": 0}), Reason::HeldByRollout),
        (json!({"paused": true}), Reason::Paused),
        (json!({"start": "2026-12-01T13:00:00Z"}), Reason::BeforeStart),
        (
            json!({"windows": [{"from": "22:00", "to": "05:00", "zone": "Europe/Berlin"}]}),
            Reason::OutsideWindow,
        ),
    ] {
        let image = with(image(&[]), after(4, offer(6, rollout)));
        for (current, answer) in [
            (0, (Action::Update, Reason::FirstInstall, Some(4))),
            (3, (Action::Update, Reason::NewerRevision, Some(4))),
            (4, (Action::Hold, reason, None)),
            // Above the assignment before, and merely held: it keeps what it has.
            (5, (Action::Hold, reason, None)),
            (6, (Action::None, Reason::UpToDate, None)),
            (9, (Action::Hold, reason, None)),
        ] {
            assert_eq!(told(&image, current), answer, "has {current}, {reason:?}");
        }
    }
    let first = with(image(&[]), offer(6, json!({"percent": 0})));
    assert_eq!(told(&first, 0), (Action::Hold, Reason::HeldByRollout, None));
}

#[test]
fn a_client_on_a_revoked_revision_leaves_it_also_while_others_are_held() {
    let rolling = with(image(&[4]), after(3, offer(6, json!({"percent": 0}))));
    assert_eq!(told(&rolling, 4), (Action::Update, Reason::RevisionRevoked, Some(6)));
    let paused = with(image(&[4]), after(3, offer(6, json!({"paused": true}))));
    assert_eq!(told(&paused, 4), (Action::Rollback, Reason::RevisionRevoked, Some(3)));
    let alone = with(image(&[4]), offer(6, json!({"paused": true})));
    assert_eq!(told(&alone, 4), (Action::Hold, Reason::RevisionRevoked, None));
}

#[test]
fn a_pinned_client_has_its_own_revision_whatever_is_assigned() {
    let pinned = |mut image: ImageOffer| {
        let pins = std::iter::once(("pc-1".to_owned(), revision(3))).collect();
        image.pins.insert(CHANNEL.to_owned(), pins);
        image
    };
    for image in [
        pinned(with(image(&[]), offer(6, json!({})))),
        pinned(with(image(&[]), offer(6, json!({"paused": true})))),
        pinned(withdrawn(image(&[]), 6)),
    ] {
        assert_eq!(told(&image, 1), (Action::Update, Reason::Pinned, Some(3)));
        assert_eq!(told(&image, 3), (Action::None, Reason::Pinned, None));
        assert_eq!(told(&image, 6), (Action::Rollback, Reason::Pinned, Some(3)));
        assert_ne!(told_to(&image, Some("PC-2"), 3, noon()).1, Reason::Pinned);
    }
}

#[test]
fn canaries_are_offered_the_revision_before_its_start_but_not_while_it_is_paused() {
    let rollout = json!({"canaries": ["pc-1", "TEST-*"], "start": "2026-12-01T13:00:00Z"});
    let image = with(image(&[]), after(4, offer(6, rollout)));
    for canary in ["PC-1", "test-7"] {
        let answer = told_to(&image, Some(canary), 4, noon());
        assert_eq!(answer, (Action::Update, Reason::Canary, Some(6)), "{canary}");
    }
    assert_eq!(told_to(&image, Some("PC-11"), 4, noon()).1, Reason::BeforeStart);
    assert_eq!(told_to(&image, None, 4, noon()).1, Reason::BeforeStart);
    let mut paused = offer(6, json!({"canaries": ["*"], "paused": true}));
    assert_eq!(told(&with(image_like(&image), paused), 4).1, Reason::Paused);
    paused = offer(6, json!({"canaries": ["*"]}));
    paused.promotion.progress.halted =
        Some(Halted { at: noon(), by: None, failed: Some(2), ended: Some(20), failures: vec![] });
    assert_eq!(told(&with(image_like(&image), paused), 4).1, Reason::Halted);
}

fn image_like(other: &ImageOffer) -> ImageOffer {
    ImageOffer::blank(other.image.clone())
}

#[test]
fn a_deadline_that_has_passed_overrides_windows_and_shares_but_no_pause() {
    let closed = json!([{"from": "22:00", "to": "05:00", "zone": "UTC"}]);
    let mut late = offer(6, json!({"percent": 0, "windows": closed}));
    late.promotion.terms.for_clients.deadline = Some(noon());
    let image = with(image(&[]), after(4, late));
    assert_eq!(told(&image, 4), (Action::Update, Reason::DeadlinePassed, Some(6)));
    let before = told_to(&image, Some("PC-1"), 4, noon() - TimeDelta::seconds(1));
    assert_eq!(before.1, Reason::OutsideWindow);
    let mut paused = offer(6, json!({"paused": true}));
    paused.promotion.terms.for_clients.deadline = Some(noon());
    assert_eq!(told(&with(image_like(&image), paused), 4).1, Reason::Paused);
}

#[test]
fn every_reason_is_given_to_somebody() {
    let held = |rollout| with(image(&[]), after(4, offer(6, rollout)));
    let mut halted = offer(6, json!({}));
    halted.promotion.progress.halted =
        Some(Halted { at: noon(), by: None, failed: None, ended: None, failures: vec![] });
    let mut late = offer(6, json!({"percent": 0}));
    late.promotion.terms.for_clients.deadline = Some(noon());
    let mut pinned = image(&[]);
    let pins = std::iter::once(("pc-1".to_owned(), revision(3))).collect();
    pinned.pins.insert(CHANNEL.to_owned(), pins);
    let closed = json!({"windows": [{"from": "22:00", "to": "05:00", "zone": "UTC"}]});
    let reasons: HashSet<Reason> = [
        told(&held(json!({})), 6),
        told(&held(json!({})), 4),
        told(&held(json!({})), 0),
        told(&held(json!({"canaries": ["*"]})), 4),
        told(&pinned, 4),
        told(&held(json!({"percent": 0})), 4),
        told(&held(json!({"start": "2026-12-01T13:00:00Z"})), 4),
        told(&held(closed), 4),
        told(&held(json!({"paused": true})), 4),
        told(&with(image(&[]), halted), 4),
        told(&with(image(&[]), late), 4),
        told(&held(json!({})), 7),
        told(&with(image(&[4]), offer(6, json!({}))), 4),
        told(&withdrawn(image(&[]), 6), 4),
        told(&image(&[]), 4),
    ]
    .into_iter()
    .map(|(_, reason, _)| reason)
    .collect();
    assert_eq!(reasons.len(), 15, "{reasons:?}");
}

#[test]
fn the_explanation_gives_the_same_answer_and_ends_with_the_rule_that_decided() {
    let rollout = json!({"steps": [{"percent": 100, "groups": ["pilot-*"]}, {"percent": 0}]});
    let image = with(image(&[1]), after(4, offer(6, rollout)));
    let (channel, client) = (CHANNEL.parse().unwrap(), "PC-1".parse().unwrap());
    for (group, current) in [(None, 4), (Some("Pilot-7"), 4), (None, 1), (None, 6)] {
        let group = group.map(|group: &str| group.parse().unwrap());
        let question =
            Question { current, client: Some(&client), group: group.as_ref(), now: noon() };
        let (explained, decided) =
            (explain(&image, &channel, question), decide(&image, &channel, question));
        assert_eq!(explained.decision.reason, decided.reason);
        assert_eq!(explained.decision.action, decided.action);
        let (last, others) = explained.rules.split_last().unwrap();
        assert_eq!(last.outcome, Outcome::Decided);
        assert!(others.iter().all(|rule| rule.outcome != Outcome::Decided));
        assert!(explained.rules.iter().all(|rule| !rule.detail.is_empty()));
    }
}

proptest! {
    #[test]
    fn raising_the_share_takes_nobody_out_and_groups_only_raise(
        client in "[A-Za-z0-9._-]{1,64}", low in 0_u16..=10_000, more in 0_u16..=10_000, id: u128,
    ) {
        let high = (low + more).min(10_000);
        let share = |hundredths: u16| f64::from(hundredths) / 100.0;
        let answer = |rollout, group: Option<&str>| {
            let mut offer = after(4, offer(6, rollout));
            offer.promotion.id = Uuid::from_u128(id);
            let image = with(image(&[]), offer);
            let (client, group) = (client.parse().unwrap(), group.map(|group| group.parse().unwrap()));
            let question =
                Question { current: 4, client: Some(&client), group: group.as_ref(), now: noon() };
            decide(&image, &CHANNEL.parse().unwrap(), question).action
        };
        let (at_low, at_high) =
            (answer(json!({"percent": share(low)}), None), answer(json!({"percent": share(high)}), None));
        prop_assert!(at_low == Action::Hold || at_high == Action::Update);
        let grouped = json!({"steps": [{"percent": share(low)}, {"percent": share(more), "groups": ["lab-*"]}]});
        let (outside, inside) = (answer(grouped.clone(), None), answer(grouped, Some("LAB-1")));
        prop_assert_eq!(outside, at_low);
        prop_assert!(outside == Action::Hold || inside == Action::Update);
    }

    #[test]
    fn a_client_that_a_step_has_let_in_stays_in(seconds in 0_i64..400_000, later in 0_i64..400_000, n: u32) {
        let steps = json!({"steps": [{"percent": 5}, {"percent": 25, "after": "24h"}, {"percent": 100, "after": "72h"}]});
        let image = with(image(&[]), after(4, offer(6, steps)));
        let client = format!("pc-{n}");
        let at = |seconds| told_to(&image, Some(&client), 4, noon() + TimeDelta::seconds(seconds)).0;
        prop_assert!(at(seconds) == Action::Hold || at(seconds + later) == Action::Update);
    }

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
