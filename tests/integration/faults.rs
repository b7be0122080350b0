//! A matrix: each operation at a replica, while its database or its bucket fails in one of fourteen ways.
//!
//! [`expected`] has the table, [`scene`] two replicas with what is to fail in front of them, [`operations`] tries each
//! operation and says how it ended. Afterwards a replica stops within its grace while the fault lasts, and once the fault
//! is over everything works without anybody's help and nothing is lost that was acknowledged.

mod afterwards;
mod expected;
mod operations;
mod scene;

use std::time::{Duration, Instant};

use expected::{Fault, row};
use scene::{GRACE, Scene};

#[tokio::test]
async fn a_database_that_falls_silent_or_is_locked() {
    tokio::join!(
        holds(Fault::DatabaseSilent),
        holds(Fault::DatabaseSilentWithinAnswers),
        holds(Fault::DatabaseLocked),
    );
}

#[tokio::test]
async fn a_database_that_resets_its_connections_or_is_slow() {
    tokio::join!(holds(Fault::DatabaseResets), holds(Fault::DatabaseSlow));
}

#[tokio::test]
async fn a_database_that_takes_no_changes() {
    tokio::join!(holds(Fault::DatabaseReadOnly), holds(Fault::DatabaseFull));
}

#[tokio::test]
async fn a_bucket_that_falls_silent_or_refuses() {
    tokio::join!(holds(Fault::BucketSilent), holds(Fault::BucketRefuses));
}

#[tokio::test]
async fn a_bucket_that_answers_other_bytes() {
    tokio::join!(holds(Fault::BucketShortens), holds(Fault::BucketFlips));
}

#[tokio::test]
async fn a_bucket_that_answers_late_or_from_before_or_not_at_all() {
    tokio::join!(
        holds(Fault::BucketSlow),
        holds(Fault::BucketLosesAnswers),
        holds(Fault::BucketListsOld),
    );
}

async fn holds(fault: Fault) {
    let mut scene = Scene::prepare(fault).await;
    scene.begins().await;
    let found = operations::try_all(&scene).await;

    let asked = Instant::now();
    scene.second.ask_to_stop();
    let end = scene.second.wait_for_end().await;
    let took = asked.elapsed();
    scene.ends().await;
    println!("{fault:?}: stopped within {took:?}\n{found:#?}");
    expected::compare(fault, &row(fault), &found);
    assert!(end.success(), "{fault:?}: it did not stop well, but with {end}");
    assert!(took < GRACE + Duration::from_secs(2), "SIGTERM took {took:?}");

    scene.second.start_again().await;
    afterwards::everything_works(&scene).await;
}
