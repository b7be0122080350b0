//! Which bytes of a fragment count: gaps, overlaps, repeats, two senders at once.

use crate::harness::actions::ckm;
use crate::harness::bits_client::{BitsClient, NO_ERROR, borrowed, next_offset, refused};
use crate::harness::{Database, Depot, on_both_databases, sample};

use super::{IMAGE, holds, roles};

on_both_databases![
    only_bytes_that_are_new_are_written,
    a_whole_repeat_of_a_large_fragment_is_answered,
    a_repeat_on_a_slow_line_is_answered,
    a_file_in_blocks_of_13_mb_is_the_file_that_was_sent,
    a_fragment_past_the_limit_is_sent_again_in_smaller_ones,
    the_newer_of_two_connections_goes_on,
];

async fn only_bytes_that_are_new_are_written(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    let gap = client.part(&file, 1..100).await;
    refused(&gap, 416, NO_ERROR);
    assert_eq!(next_offset(&gap), 0);
    assert_eq!(next_offset(&client.part(&file, 0..100).await.expecting(200)), 100);
    let mut received = 100;
    // First byte, the one behind the last, status, and where to go on.
    for (from, to, status, next) in [
        (101, 200, 416, 100),
        (100_000, 300_000, 416, 100),
        (0, 100, 416, 100),
        (50, 100, 416, 100),
        (99, 100, 416, 100),
        (0, 101, 200, 101),
        (50, 151, 200, 151),
        (151, 152, 200, 152),
        (0, 200_000, 200, 200_000),
        (199_999, 200_000, 416, 200_000),
        (200_000, 299_999, 200, 299_999),
        (0, 299_999, 416, 299_999),
        (0, 300_000, 200, 300_000),
        // Complete: whatever is repeated was received.
        (299_999, 300_000, 200, 300_000),
        (0, 300_000, 200, 300_000),
        (7, 8, 200, 300_000),
    ] {
        // What was received must not be overwritten: it is repeated as noise.
        let mut sent = sample::bytes(99, file.len());
        let new = received.clamp(from, to);
        sent[new..to].copy_from_slice(&file[new..to]);
        let answer = client.part(&sent, from..to).await;
        assert_eq!((answer.status, next_offset(&answer)), (status, next), "{from}..{to}");
        received = usize::try_from(next).expect("an offset");
    }
    client.close().await.expecting(200);
    holds(&admin, 1, "ckm", &file).await;
}

async fn a_whole_repeat_of_a_large_fragment_is_answered(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = sample::bytes(1, 13_000_000);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    assert_eq!(next_offset(&client.part(&file, 0..12_000_000).await.expecting(200)), 12_000_000);
    for _ in 0..3 {
        let old = client.part(&file, 0..12_000_000).await;
        refused(&old, 416, NO_ERROR);
        assert_eq!(next_offset(&old), 12_000_000);
    }
    for _ in 0..3 {
        let all = client.part(&file, 0..13_000_000).await.expecting(200);
        assert_eq!(next_offset(&all), 13_000_000);
    }
    holds(&admin, 1, "ckm", &file).await;
}

async fn a_repeat_on_a_slow_line_is_answered(database: Database) {
    let depot = Depot::start(database).await;
    let file = sample::bytes(2, 10_000_000);
    let mut client = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&file, 0..10_000_000).await.expecting(200);
    for _ in 0..2 {
        let headers = client.fragment_headers(0, 10_000_000, 10_000_000);
        client.write(&borrowed(&headers), &file[..1_000_000]).await.expect("a line");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let answer = client.write_rest(&file[1_000_000..]).await.expect("an answer");
        assert_eq!(next_offset(&answer.expecting(200)), 10_000_000);
    }
}

async fn a_file_in_blocks_of_13_mb_is_the_file_that_was_sent(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = sample::bytes(7, 45_000_001);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    let transfer = client.upload(&file, 13 * 1024 * 1024).await;
    assert_eq!((transfer.sessions, transfer.sent), (1, 45_000_001));
    holds(&admin, 1, "ckm", &file).await;
    assert!(depot.server.peak_memory() < 200 << 20, "{}", depot.server.peak_memory());
}

async fn a_fragment_past_the_limit_is_sent_again_in_smaller_ones(database: Database) {
    let depot = Depot::on(database).setting("bits", "max_fragment", "70000").start().await;
    let admin = depot.admin();
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    let large = client.part(&file, 0..70_001).await.expecting(413);
    assert!(large.header("bits-error").is_none(), "{large:?}");
    client.part(&file, 0..70_000).await.expecting(200);
    let transfer = client.upload(&file, 280_000).await;
    assert_eq!(transfer.sessions, 0, "the session was lost");
    holds(&admin, 1, "ckm", &file).await;
}

async fn the_newer_of_two_connections_goes_on(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = sample::bytes(3, 4_000_000);
    let mut older = BitsClient::new(&depot, &admin, "win7-office.ckm");
    older.create().await.expecting(200);
    let mut newer = older.twin();
    // The older one falls silent in the middle of its fragment, its line stays.
    let headers = older.fragment_headers(0, 3_000_000, 4_000_000);
    older.write(&borrowed(&headers), &file[..1_000_000]).await.expect("a line");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let started = std::time::Instant::now();
    let taken = newer.part(&file, 0..3_500_000).await.expecting(200);
    assert_eq!(next_offset(&taken), 3_500_000);
    assert!(
        started.elapsed().as_secs() < 5,
        "it waited for the older one: {:?}",
        started.elapsed()
    );
    assert_eq!(next_offset(&newer.part(&file, 3_500_000..4_000_000).await), 4_000_000);
    drop(older);
    assert_eq!(roles(&admin.revision(IMAGE, 1).await), ["ckm"]);
    holds(&admin, 1, "ckm", &file).await;
}
