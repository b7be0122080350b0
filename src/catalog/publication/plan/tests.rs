//! The plan, case by case and by its properties: correct and foreign files stay, and the next run finishes a run that
//! was interrupted at any point.

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn wanted(role: FileRole) -> WantedFile {
    WantedFile {
        channel_id: Uuid::nil(),
        revision_id: Uuid::nil(),
        role,
        blob_id: Uuid::nil(),
        blob_key: "key".to_owned(),
        size: 1,
        digest: Digest::of(b"x"),
        sealed_at: at(0),
    }
}

fn known(path: &str, role: FileRole, found: Found) -> Known {
    let publication = wanted(role).publication(path);
    Known { publication, found, goes_at_once: false, rescue_until: None }
}

fn verbs(plan: &Plan) -> Vec<(&'static str, &str)> {
    plan.steps.iter().map(|step| (step.verb(), step.path())).collect()
}

#[test]
fn the_index_appears_last_and_goes_first() {
    let wanted = vec![
        ("b.ckm.index".to_owned(), wanted(FileRole::Index), Found::Nothing),
        ("b.ckm".to_owned(), wanted(FileRole::Ckm), Found::Nothing),
    ];
    let known = vec![
        known("a.ckm", FileRole::Ckm, Found::Right),
        known("a.ckm.index", FileRole::Index, Found::Right),
    ];
    let plan = plan(wanted, known, at(100), TimeDelta::seconds(50));
    assert_eq!(
        verbs(&plan),
        [
            ("publish", "b.ckm"),
            ("publish", "b.ckm.index"),
            ("remove", "a.ckm.index"),
            ("withdraw", "a.ckm")
        ]
    );
    assert_eq!(plan.next_withdrawal, Some(at(150)));
}

#[test]
fn what_is_right_is_not_touched() {
    let wanted = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), Found::Right)];
    let plan =
        plan(wanted, vec![known("a.ckm", FileRole::Ckm, Found::Right)], at(0), TimeDelta::zero());
    assert_eq!(plan.steps, []);
}

#[test]
fn a_foreign_file_is_neither_replaced_nor_removed() {
    let in_the_way = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), Found::Other)];
    assert_eq!(verbs(&plan(in_the_way, vec![], at(0), TimeDelta::zero())), [("conflict", "a.ckm")]);
    let replaced = vec![known("a.ckm.index", FileRole::Index, Found::Other)];
    assert_eq!(
        verbs(&plan(vec![], replaced, at(0), TimeDelta::zero())),
        [("forget", "a.ckm.index")]
    );
}

#[test]
fn a_missing_or_damaged_file_of_ours_is_published_again() {
    for found in [Found::Nothing, Found::Other] {
        let wanted = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), found)];
        let plan =
            plan(wanted, vec![known("a.ckm", FileRole::Ckm, found)], at(0), TimeDelta::zero());
        assert_eq!(verbs(&plan), [("publish", "a.ckm")]);
    }
}

#[test]
fn a_withdrawn_file_goes_when_its_grace_is_over() {
    let mut file = known("a.ckm", FileRole::Ckm, Found::Right);
    file.publication.withdraw_at = Some(at(10));
    let early = plan(vec![], vec![file.clone()], at(9), TimeDelta::zero());
    assert_eq!((verbs(&early), early.next_withdrawal), (vec![], Some(at(10))));
    assert_eq!(verbs(&plan(vec![], vec![file], at(10), TimeDelta::zero())), [("remove", "a.ckm")]);
}

#[test]
fn what_was_found_to_be_bad_goes_without_grace_and_its_index_first() {
    let bad = |path, role| Known { goes_at_once: true, ..known(path, role, Found::Right) };
    let files = vec![bad("a.ckm", FileRole::Ckm), bad("a.ckm.index", FileRole::Index)];
    let plan = plan(vec![], files, at(100), TimeDelta::seconds(50));
    assert_eq!(verbs(&plan), [("remove", "a.ckm.index"), ("remove", "a.ckm")]);
    assert_eq!(plan.next_withdrawal, None);
}

#[test]
fn what_has_lost_its_name_already_gets_it_back_only_if_it_is_wanted_again() {
    let mut file = known("a.ckm", FileRole::Ckm, Found::Right);
    file.publication.state = PublicationState::Removing;
    let unwanted = plan(vec![], vec![file.clone()], at(100), TimeDelta::seconds(50));
    assert_eq!(verbs(&unwanted), [("remove", "a.ckm")]);
    let wanted = vec![("a.ckm".to_owned(), wanted(FileRole::Ckm), Found::Right)];
    let again = plan(wanted, vec![file], at(100), TimeDelta::seconds(50));
    assert_eq!(verbs(&again), [("acknowledge", "a.ckm")]);
}

use proptest::prelude::*;

/// A path of the tree: whether it is wanted, what is recorded, and what is found. Its number determines whether it is
/// an index or a large file.
type Place = (bool, Option<Option<i64>>, Found);

fn place() -> impl Strategy<Value = Place> {
    let recorded = proptest::option::of(proptest::option::of(0_i64..20));
    let found = prop_oneof![Just(Found::Nothing), Just(Found::Right), Just(Found::Other)];
    (any::<bool>(), recorded, found)
}

fn role_of(number: usize) -> (String, FileRole) {
    if number.is_multiple_of(2) {
        (format!("{number}.ckm"), FileRole::Ckm)
    } else {
        (format!("{number}.ckm.index"), FileRole::Index)
    }
}

fn plan_of(places: &[Place], now: i64) -> Plan {
    let (mut all_wanted, mut all_known) = (Vec::new(), Vec::new());
    for (number, (is_wanted, recorded, found)) in places.iter().enumerate() {
        let (path, role) = role_of(number);
        if *is_wanted {
            all_wanted.push((path.clone(), wanted(role), *found));
        }
        if let Some(withdraw_at) = recorded {
            let mut file = known(&path, role, *found);
            file.publication.withdraw_at = withdraw_at.map(at);
            all_known.push(file);
        }
    }
    plan(all_wanted, all_known, at(now), TimeDelta::seconds(5))
}

/// Returns the state of tree and records after the first `steps` steps of a plan.
fn carried_out(places: &[Place], plan: &Plan, steps: usize) -> Vec<Place> {
    let mut places = places.to_vec();
    for step in plan.steps.iter().take(steps) {
        let number: usize = step.path().split('.').next().unwrap().parse().unwrap();
        let (_, recorded, found) = &mut places[number];
        match step {
            Step::Publish { .. } => (*recorded, *found) = (Some(None), Found::Right),
            Step::Acknowledge { .. } => *recorded = Some(None),
            Step::Withdraw { at, .. } => *recorded = Some(Some(at.timestamp())),
            Step::Remove { .. } => (*recorded, *found) = (None, Found::Nothing),
            Step::Forget { .. } => *recorded = None,
            _ => {}
        }
    }
    places
}

proptest! {
    #[test]
    fn wherever_a_run_is_cut_off_the_next_ones_end_where_nothing_is_to_be_done(
        places in proptest::collection::vec(place(), 1..8), cut in 0_usize..20,
    ) {
        let cut_off = carried_out(&places, &plan_of(&places, 10), cut);
        let second = plan_of(&cut_off, 11);
        let settled = carried_out(&cut_off, &second, usize::MAX);
        for step in plan_of(&settled, 11).steps {
            prop_assert!(matches!(step, Step::Conflict { .. }), "{step:?}");
        }
        let late = carried_out(&settled, &plan_of(&settled, 100), usize::MAX);
        for (number, ((is_wanted, recorded, found), before)) in late.iter().zip(&places).enumerate() {
            if *is_wanted {
                let foreign = before.1.is_none() && before.2 == Found::Other;
                prop_assert!(foreign || *found == Found::Right, "{number} is wanted and not there");
            } else {
                prop_assert_eq!(*recorded, None);
            }
        }
    }

    #[test]
    fn what_is_not_recorded_as_ours_is_never_replaced_or_removed(
        places in proptest::collection::vec(place(), 1..8),
    ) {
        let plan = plan_of(&places, 10);
        let after = carried_out(&places, &plan, usize::MAX);
        for (before, after) in places.iter().zip(after) {
            if before.1.is_none() && before.2 != Found::Nothing {
                prop_assert_eq!(before.2, after.2);
            }
        }
    }
}
