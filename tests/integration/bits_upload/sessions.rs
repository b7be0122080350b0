//! The life of a session: its end in every order, its limits, its expiry, its commit.

use std::time::Duration;

use crate::harness::actions::{ckm, index, revision_path};
use crate::harness::bits_client::{
    BUSY, BitsClient, INVALID_ARGUMENT, SESSION_NOT_FOUND, next_offset, refused,
};
use crate::harness::{Database, Depot, eventually, on_both_databases};

use super::{IMAGE, holds, roles, upload};

on_both_databases![
    closing_before_the_end_drops_what_came,
    closing_twice_is_answered_twice,
    cancelling_takes_back_only_what_is_not_complete,
    with_commit_at_close_a_file_appears_then,
    a_user_has_fifty_open_sessions_at_most,
    a_session_without_progress_expires,
    what_has_expired_is_swept_away,
    what_tus_has_completed_is_complete_for_bits,
    a_draft_that_goes_takes_its_session_along,
];

async fn closing_before_the_end_drops_what_came(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&ckm(1), 0..299_999).await.expecting(200);
    client.close().await.expecting(200);
    depot.comes_to_store(0).await;
    assert!(roles(&admin.revision(IMAGE, 1).await).is_empty());
    refused(&client.part(&ckm(1), 299_999..300_000).await, 500, SESSION_NOT_FOUND);
    // Without any fragment there is nothing to drop, and no file that the client could rely on.
    client.create().await.expecting(200);
    refused(&client.close().await, 400, INVALID_ARGUMENT);
    refused(&client.close().await, 500, SESSION_NOT_FOUND);
    // The draft is free again.
    upload(&depot, &admin, "win7-office.ckm", &ckm(2)).await;
    holds(&admin, 1, "ckm", &ckm(2)).await;
}

async fn closing_twice_is_answered_twice(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&ckm(1), 0..300_000).await.expecting(200);
    for _ in 0..3 {
        client.close().await.expecting(200);
    }
    // What is closed takes nothing any more.
    refused(&client.part(&ckm(1), 0..300_000).await, 500, SESSION_NOT_FOUND);
    client.cancel().await.expecting(200);
    holds(&admin, 1, "ckm", &ckm(1)).await;
}

async fn cancelling_takes_back_only_what_is_not_complete(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&ckm(1), 0..299_999).await.expecting(200);
    client.cancel().await.expecting(200);
    depot.comes_to_store(0).await;
    refused(&client.cancel().await, 500, SESSION_NOT_FOUND);
    refused(&client.part(&ckm(1), 0..10).await, 500, SESSION_NOT_FOUND);
    client.create().await.expecting(200);
    client.cancel().await.expecting(200);
    // After the last fragment the file stays.
    client.create().await.expecting(200);
    client.part(&ckm(2), 0..300_000).await.expecting(200);
    client.cancel().await.expecting(200);
    holds(&admin, 1, "ckm", &ckm(2)).await;
}

async fn with_commit_at_close_a_file_appears_then(database: Database) {
    let depot = Depot::on(database).setting("bits", "commit", "close").start().await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    for _ in 0..2 {
        let all = client.part(&ckm(1), 0..300_000).await.expecting(200);
        assert_eq!(next_offset(&all), 300_000);
        assert!(roles(&admin.revision(IMAGE, 1).await).is_empty());
    }
    // Until then it can be taken back.
    client.cancel().await.expecting(200);
    depot.comes_to_store(0).await;
    upload(&depot, &admin, "win7-office.ckm", &ckm(2)).await;
    holds(&admin, 1, "ckm", &ckm(2)).await;
    upload(&depot, &admin, "win7-office.ckm.index", &index(2)).await;
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
}

async fn a_user_has_fifty_open_sessions_at_most(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let publisher = depot.user_with_role("publisher").await;
    let mut client = BitsClient::new(&depot, &publisher, "win7-office.ckm");
    for _ in 0..50 {
        client.create().await.expecting(200);
    }
    let last = client.session.clone();
    let busy = client.create().await;
    refused(&busy, 503, BUSY);
    assert!(busy.required_header("retry-after").parse::<u32>().is_ok());
    // Others have their own; and what is done does not count.
    BitsClient::new(&depot, &admin, "win7-office.ckm").create().await.expecting(200);
    client.session = last;
    client.part(&ckm(1), 0..300_000).await.expecting(200);
    client.create().await.expecting(200);
    refused(&client.create().await, 503, BUSY);
}

async fn a_session_without_progress_expires(database: Database) {
    let depot = Depot::on(database).setting("uploads", "expire_after", "3s").start().await;
    let admin = depot.admin();
    let mut empty = BitsClient::new(&depot, &admin, "win7-office.ckm");
    empty.create().await.expecting(200);
    let mut begun = BitsClient::new(&depot, &admin, "win7-office.ckm");
    begun.create().await.expecting(200);
    // Progress keeps it alive past its time.
    for part in 0..4 {
        begun.part(&ckm(1), part * 10..(part + 1) * 10).await.expecting(200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    refused(&empty.part(&ckm(1), 0..10).await, 500, SESSION_NOT_FOUND);
    tokio::time::sleep(Duration::from_secs(3)).await;
    refused(&begun.part(&ckm(1), 40..50).await, 500, SESSION_NOT_FOUND);
    // The client begins again, and ends well.
    let transfer = begun.upload(&ckm(1), 100_000).await;
    assert_eq!(transfer.sessions, 1);
}

async fn what_has_expired_is_swept_away(database: Database) {
    let mut depot = Depot::on(database)
        .setting("uploads", "expire_after", "2s")
        .setting("bits", "max_sessions", "2")
        .start()
        .await;
    let mut empty = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    empty.create().await.expecting(200);
    let mut begun = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    begun.create().await.expecting(200);
    begun.part(&ckm(1), 0..10).await.expecting(200);
    refused(&empty.twin().create().await, 503, BUSY);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The server sweeps when it starts.
    depot.server.restart().await;
    depot.comes_to_store(0).await;
    eventually("both sessions are gone", || async {
        let created = empty.twin().create().await;
        (created.status == 200).then_some(())
    })
    .await;
    empty.twin().create().await.expecting(200);
    refused(&empty.twin().create().await, 503, BUSY);
}

async fn what_tus_has_completed_is_complete_for_bits(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    upload(&depot, &admin, "win7-office.ckm", &ckm(1)).await;
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm.index");
    client.create().await.expecting(200);
    client.part(&index(1), 0..1000).await.expecting(200);
    let session = client.session.clone().expect("a session");
    let path = format!("/api/v1/uploads/{}", session.trim_matches(['{', '}']));
    let rest = admin.patch(&path).header("Tus-Resumable", "1.0.0").header("Upload-Offset", "1000");
    let rest = rest.header("Content-Type", "application/offset+octet-stream");
    rest.body(index(1)[1000..].to_vec()).await.expecting(204);
    // The draft was not sealed: that is BITS's way.
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "draft");
    let answer = client.part(&index(1), 1000..4000).await.expecting(200);
    assert_eq!(next_offset(&answer), 4000);
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
    client.close().await.expecting(200);
    holds(&admin, 1, "index", &index(1)).await;
}

async fn a_draft_that_goes_takes_its_session_along(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&file, 0..100_000).await.expecting(200);
    admin.delete(&revision_path(IMAGE, 1)).await.expecting(204);
    let transfer = client.upload(&file, 50_000).await;
    assert_eq!(transfer.sessions, 1, "it went on with a session whose draft is gone");
    holds(&admin, 2, "ckm", &file).await;
    depot.comes_to_store(1).await;
    // Complete by other hands and sealed while the rest is still on its way.
    let mut late = BitsClient::new(&depot, &admin, "win7-office.ckm.index");
    late.create().await.expecting(200);
    late.part(&index(1), 0..1000).await.expecting(200);
    admin.put_file(IMAGE, 2, "index", &index(2)).await.expecting(201);
    admin.seal(IMAGE, 2).await.expecting(200);
    let transfer = late.upload(&index(1), 1000).await;
    assert_eq!(transfer.sessions, 1);
    holds(&admin, 2, "index", &index(2)).await;
    holds(&admin, 3, "index", &index(1)).await;
}
