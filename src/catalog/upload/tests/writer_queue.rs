//! The order of writers: pieces that follow at once, and requests that wait for one another.

use super::*;

#[test]
fn pieces_that_follow_at_once_go_on_under_one_claim_and_others_get_the_session_without_waiting() {
    let environment = Environment::folder();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, 3000).await;
        let claims = async |trial: &Trial<'_>| {
            trial.catalog.upload(&trial.actor, trial.upload).await.unwrap().newest_claim
        };
        for piece in 0..2 {
            trial.append(piece * 1000, 1000, End::Saved).await;
            assert_eq!(claims(&trial).await, 1);
        }
        assert_eq!(trial.offset().await, Some(2000));
        assert_eq!(claims(&trial).await, 2);
        // The session is not kept open any more, and nobody holds it.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let left = trial.catalog.upload(&trial.actor, trial.upload).await.unwrap();
        assert_eq!(left.holder, None);
        trial.end().await;
    });
}

#[test]
fn a_session_that_rests_is_let_go_by_itself() {
    let environment = Environment::folder();
    environment.runtime.block_on(async {
        let mut trial = Trial::begin(&environment, 3000).await;
        trial.append(0, 1000, End::Saved).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let left = trial.catalog.upload(&trial.actor, trial.upload).await.unwrap();
        assert_eq!(left.holder, None);
        trial.append(1000, 1000, End::Killed).await;
        trial.end().await;
    });
}

#[test]
fn an_append_that_waits_while_its_upload_is_finished_hears_that_it_is_complete() {
    let environment = Environment::folder();
    environment.runtime.block_on(an_append_waits_while_its_upload_is_finished(&environment));
}

async fn an_append_waits_while_its_upload_is_finished(environment: &Environment) {
    let trial = Trial::begin(environment, 1000).await;
    let mut appending = trial.open(StartAt::Exactly(0), 1000, None).await.unwrap();
    appending.write(trial.bytes(0, 1000)).await.unwrap();
    appending.save().await.unwrap();

    let (catalog, id) = (trial.catalog.clone(), trial.upload);
    let mut turn = catalog.shared.turns.take(id).await.unwrap();
    let repeat = {
        let (catalog, actor) = (catalog.clone(), trial.actor.clone());
        let piece = Piece {
            start: StartAt::OverlappingFrom(999),
            length: Some(1),
            checksum: None,
            file_length: None,
        };
        tokio::spawn(async move { catalog.append(&actor, id, piece).await.err() })
    };
    turn.is_over().await;
    let mut claimed =
        catalog.claim(&mut turn, id, lease::Unrecorded::Count, &|_| Ok(())).await.unwrap();
    catalog.open_claimed(&mut claimed).await.unwrap();
    catalog
        .finish_claimed(&trial.actor, &claimed.upload, claimed.number, &claimed.lease)
        .await
        .unwrap();
    drop(turn);
    assert!(matches!(repeat.await.unwrap(), Some(Error::UploadComplete)));
}
