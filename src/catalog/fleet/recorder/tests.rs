//! Tests of what waits, and what is written.

use std::net::Ipv4Addr;

use super::*;

fn check(client: &ClientId, revision: i64, at: i64) -> Check<'_> {
    Check {
        client,
        image: Uuid::from_u128(1),
        channel: Uuid::from_u128(2),
        revision,
        group: None,
        action: Action::None,
        reason: Reason::UpToDate,
        promotion: None,
        address: Ipv4Addr::LOCALHOST.into(),
        agent: "agent/1\n",
        authenticated: false,
        at,
    }
}

fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

/// Everything that waits, as client, revision, and the times of its first and last check.
fn written(recorder: &Recorder) -> Vec<(String, i64, i64, i64)> {
    let mut taken = recorder.take();
    let rows: Vec<_> = taken.next(usize::MAX).unwrap_or_default().to_vec();
    taken.written(rows.len());
    let row = |(key, noted): (Key, Noted)| {
        (key.client.to_string(), noted.revision, noted.first, noted.last)
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn the_newest_check_of_a_client_counts_whatever_the_case_of_its_id() {
    let recorder = Recorder::default();
    recorder.note(check(&id("PC-1"), 1, 100));
    recorder.note(check(&id("pc-1"), 2, 160));
    recorder.note(check(&id("pc-0"), 7, 150));
    assert_eq!(recorder.waiting(), 2);
    assert_eq!(recorder.behind(170), 70);
    let expected = [("pc-0".to_owned(), 7, 150, 150), ("PC-1".to_owned(), 2, 100, 160)];
    assert_eq!(written(&recorder), expected);
    assert_eq!((recorder.waiting(), recorder.behind(170)), (0, 0));
}

#[test]
fn what_could_not_be_written_waits_again_behind_what_came_meanwhile() {
    let recorder = Recorder::default();
    for name in ["a", "b", "c"] {
        recorder.note(check(&id(name), 1, 100));
    }
    let mut taken = recorder.take();
    taken.written(1);
    recorder.note(Check { authenticated: true, ..check(&id("b"), 2, 130) });
    assert_eq!((recorder.waiting(), recorder.behind(140)), (3, 40));
    drop(taken);
    assert_eq!((recorder.waiting(), recorder.behind(140)), (2, 40));
    let expected = [("b".to_owned(), 2, 100, 130), ("c".to_owned(), 1, 100, 100)];
    assert_eq!(written(&recorder), expected);
}

#[test]
fn one_client_has_a_row_for_each_image_and_channel() {
    let (recorder, client) = (Recorder::default(), id("pc"));
    recorder.note(check(&client, 1, 100));
    recorder.note(Check { image: Uuid::from_u128(9), ..check(&client, 2, 100) });
    recorder.note(Check { channel: Uuid::from_u128(9), ..check(&client, 3, 100) });
    assert_eq!(written(&recorder).len(), 3);
}

#[test]
fn agents_are_shared_cut_and_cleaned() {
    let mut shard = Shard::default();
    let (one, other) = (shard.agent("curl/8"), shard.agent("curl/8"));
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(&*shard.agent("a\tb\u{7f}"), "ab");
    assert_eq!(shard.agent(&"ü".repeat(500)).chars().count(), AGENT);
    for number in 0..100 {
        shard.agent(&number.to_string());
    }
    assert_eq!(shard.agents.len(), AGENTS);
}

#[test]
fn beyond_its_limit_the_memory_takes_no_more_clients_and_knows_those_that_it_has() {
    let recorder = Recorder::default();
    for number in 0..MOST + 10 {
        recorder.note(check(&id(&format!("pc-{number}")), 1, 100));
    }
    recorder.note(check(&id("pc-0"), 2, 101));
    assert_eq!(recorder.waiting(), MOST);
    let rows = written(&recorder);
    assert_eq!((rows.len(), &rows[0]), (MOST, &("pc-0".to_owned(), 2, 100, 101)));
}

#[test]
fn clients_that_are_deleted_do_not_wait_any_more() {
    let recorder = Recorder::default();
    for name in ["Simulated-1", "simulated-2", "pc-1"] {
        recorder.note(check(&id(name), 1, 100));
    }
    recorder.forget(&"simulated-*".parse().unwrap());
    assert_eq!(recorder.waiting(), 1);
    assert_eq!(written(&recorder)[0].0, "pc-1");
}
