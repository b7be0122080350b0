//! Broken lines, lost answers, restarts and kills: what was acknowledged is not sent again, and what
//! follows from the last byte happens once.

use std::time::Duration;

use crate::harness::actions::{ckm, index};
use crate::harness::bits_client::{BitsClient, borrowed, next_offset};
use crate::harness::folder::files_below;
use crate::harness::sample::{self, random_below};
use crate::harness::{Database, Depot, eventually, is_long_run, on_both_databases};

use super::{IMAGE, holds, roles, upload};

on_both_databases![
    a_lost_last_answer_is_made_good_by_the_repeat,
    a_repeat_finds_its_session_whenever_it_comes,
    what_came_before_a_line_broke_is_kept,
    a_session_outlives_a_restart,
    a_kill_in_the_middle_of_a_fragment_loses_nothing_acknowledged,
    kills_at_any_point_end_in_one_promoted_revision,
];

async fn a_lost_last_answer_is_made_good_by_the_repeat(database: Database) {
    let depot = Depot::on(database).setting("bits", "promote_to", "test").start().await;
    let admin = depot.admin();
    upload(&depot, &admin, "win7-office.ckm", &ckm(1)).await;
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm.index");
    client.create().await.expecting(200);
    let headers = client.fragment_headers(0, 4000, 4000);
    client.write(&borrowed(&headers), &index(1)).await.expect("a line");
    client.hang_up();
    client.ping().await.expecting(200);
    let transfer = client.upload(&index(1), 4000).await;
    assert_eq!((transfer.sessions, transfer.unanswered), (0, 0));
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
    let history = admin.get("/api/v1/images/win7-office/promotions").await.items();
    assert_eq!(history.len(), 1, "{history:?}");
}

/// The server may be anywhere between the last byte and the answer that nobody waits for any more.
async fn a_repeat_finds_its_session_whenever_it_comes(database: Database) {
    let depot = Depot::start(database).await;
    let mut client = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    for round in 1..=20 {
        client.create().await.expecting(200);
        let file = index(round);
        let headers = client.fragment_headers(0, 4000, 4000);
        client.write(&borrowed(&headers), &file).await.expect("a line");
        tokio::time::sleep(Duration::from_micros(random_below(30_000))).await;
        client.hang_up();
        // At once, and in this session: neither "later" nor "begin again".
        let transfer = client.upload(&file, 4000).await;
        assert_eq!((transfer.sessions, transfer.unanswered), (0, 0));
        holds(&depot.admin(), round, "ckm", &file).await;
    }
}

async fn what_came_before_a_line_broke_is_kept(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = sample::bytes(5, 3_000_000);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    let headers = client.fragment_headers(0, 3_000_000, 3_000_000);
    client.write(&borrowed(&headers), &file[..2_000_000]).await.expect("a line");
    eventually("most of it is on the disk", || async {
        let stored = files_below(&depot.server.data().join("blobs"));
        stored.values().any(|file| file.len() >= 1_000_000).then_some(())
    })
    .await;
    client.hang_up();
    // A fragment behind the end asks where to go on.
    let answer = client.part(&file, 2_999_999..3_000_000).await.expecting(416);
    let next = usize::try_from(next_offset(&answer)).expect("an offset");
    assert!((1_000_000..=2_000_000).contains(&next), "{next} bytes were kept");
    client.part(&file, next..3_000_000).await.expecting(200);
    holds(&admin, 1, "ckm", &file).await;
}

async fn a_session_outlives_a_restart(database: Database) {
    let mut depot = Depot::start(database).await;
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    client.create().await.expecting(200);
    depot.server.restart().await;
    client.hang_up();
    client.part(&file, 0..100_000).await.expecting(200);
    depot.server.restart().await;
    client.hang_up();
    client.part(&file, 100_000..300_000).await.expecting(200);
    depot.server.restart().await;
    client.hang_up();
    client.close().await.expecting(200);
    holds(&depot.admin(), 1, "ckm", &file).await;
}

async fn a_kill_in_the_middle_of_a_fragment_loses_nothing_acknowledged(database: Database) {
    let mut depot = Depot::start(database).await;
    let file = sample::bytes(6, 20_000_000);
    let mut client = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    client.create().await.expecting(200);
    let mut acknowledged = 0;
    for _ in 0..4 {
        let end = acknowledged + 2_000_000;
        let answer = client.part(&file, acknowledged..end).await.expecting(200);
        acknowledged = usize::try_from(next_offset(&answer)).expect("an offset");
        let rest = &file[acknowledged..];
        let headers = client.fragment_headers(acknowledged as u64, rest.len(), file.len() as u64);
        client.write(&borrowed(&headers), &rest[..1_000_000]).await.expect("a line");
        tokio::time::sleep(Duration::from_millis(random_below(100))).await;
        depot.server.kill();
        depot.server.start_again().await;
        client.hang_up();
        client.ping().await.expecting(200);
        // Behind the end of what came: 416 says where to go on.
        let answer = client.part(&file, 19_999_999..20_000_000).await.expecting(416);
        let next = usize::try_from(next_offset(&answer)).expect("an offset");
        assert!(next >= acknowledged, "{next} of {acknowledged} acknowledged");
        assert!(next <= acknowledged + 1_000_000, "{next}: more than was sent");
        acknowledged = next;
    }
    let transfer = client.upload(&file, 3_000_000).await;
    assert_eq!(transfer.sessions, 0, "the session was lost");
    holds(&depot.admin(), 1, "ckm", &file).await;
}

/// Two jobs as the console has them, with a server that is killed again and again.
async fn kills_at_any_point_end_in_one_promoted_revision(database: Database) {
    let mut depot = Depot::on(database).setting("bits", "promote_to", "test").start().await;
    let rounds: u64 = if is_long_run() { 40 } else { 5 };
    for round in 1..=rounds {
        let (ckm, index) = (sample::bytes(round, 2_000_000), index(round));
        let person = depot.admin();
        let mut first = BitsClient::new(&depot, &person, "win7-office.ckm");
        let mut second = BitsClient::new(&depot, &person, "win7-office.ckm.index");
        let uploads = async {
            let (first, second) =
                tokio::join!(first.upload(&ckm, 300_000), second.upload(&index, 1000));
            assert_eq!((first.sessions, second.sessions), (1, 1), "a session was lost");
        };
        let kills = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(random_below(120))).await;
                depot.server.kill();
                depot.server.start_again().await;
            }
        };
        tokio::join!(uploads, kills);
        let admin = depot.admin();
        let revision = admin.revision(IMAGE, round).await;
        assert_eq!(revision["state"], "ready", "{revision}");
        assert_eq!(roles(&revision), ["ckm", "index"]);
        holds(&admin, round, "ckm", &ckm).await;
        holds(&admin, round, "index", &index).await;
        assert_eq!(admin.assignment(IMAGE, "test").await["revision"], round);
        let history = admin.get("/api/v1/images/win7-office/promotions").await.items();
        assert_eq!(history.len() as u64, round, "promoted more than once: {history:?}");
    }
    depot.comes_to_store(usize::try_from(rounds).expect("few") * 2).await;
}
