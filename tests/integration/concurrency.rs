//! Many at once: nobody is told that the database was busy, and every write counts.

use futures_util::future::join_all;

use crate::harness::actions::{ckm, file_path, index};
use crate::harness::raw::{Connection, basic, head};
use crate::harness::{Database, Depot, Person, eventually, on_both_databases};

on_both_databases![
    sixty_four_writers_at_once_all_succeed,
    drafts_made_at_once_have_numbers_of_their_own,
    of_two_puts_of_one_file_at_once_one_stays_whole,
    a_put_that_stood_still_does_not_replace_a_later_one,
    readers_see_whole_promotions_while_writers_work,
];

const WRITERS: u64 = 64;

async fn sixty_four_writers_at_once_all_succeed(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    join_all((0..WRITERS).map(|writer| whole_life(&admin, writer))).await;
    let images = admin.get("/api/v1/images?limit=500").await.expecting(200).items();
    assert_eq!(images.len() as u64, WRITERS);
    let manifest = depot.anonymous().get_tree("test/channel.json").await.expecting(200).json();
    assert_eq!(manifest["images"].as_array().expect("images").len() as u64, WRITERS);
}

/// Any 5xx, or any other refusal, fails the test within the steps.
async fn whole_life(person: &Person, writer: u64) {
    let image = format!("image-{writer}");
    person.create_image(&image).await;
    for seed in 0..2 {
        let revision = person.ready_revision(&image, writer * 2 + seed).await;
        person.promote(&image, "test", revision).await.expecting(200);
    }
    person.roll_back(&image, "test").await.expecting(200);
}

async fn drafts_made_at_once_have_numbers_of_their_own(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let mut numbers = join_all((0..WRITERS).map(|_| admin.draft("win7-office"))).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=WRITERS).collect::<Vec<_>>());
}

async fn of_two_puts_of_one_file_at_once_one_stays_whole(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = admin.draft("win7-office").await;
    let (first, second) = (ckm(1), ckm(2));
    let puts = join_all(
        [&first, &second, &first, &second]
            .map(|bytes| admin.put_file("win7-office", draft, "ckm", bytes)),
    )
    .await;
    for answer in puts {
        assert!([200, 201, 409].contains(&answer.status), "{}", answer.text());
    }
    admin.put_file("win7-office", draft, "index", &index(1)).await.expecting(201);
    admin.seal("win7-office", draft).await.expecting(200);
    let path = format!("/api/v1/images/win7-office/revisions/{draft}/files/ckm");
    let bytes = admin.get(&path).await.expecting(200).body;
    assert!(bytes == first || bytes == second, "a mixture of both");
    depot.comes_to_store(2).await;
}

/// Sends a PUT that pauses, like one from a machine that was suspended.
async fn a_put_that_stood_still_does_not_replace_a_later_one(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    let draft = admin.draft("win7-office").await;
    let path = file_path("win7-office", draft, "ckm");
    let (older, later) = (ckm(1), ckm(2));
    let (login, length) = (basic(&admin.name_and_password()), older.len().to_string());
    let headers = [("Authorization", login.as_str()), ("Content-Length", &length)];
    let mut still = Connection::open(depot.server.port()).await;
    still.write(head("PUT", &path, &headers).as_bytes()).await;
    still.write(&older[..1000]).await;
    eventually("it is under way", async || {
        let open = admin.get("/api/v1/uploads").await.expecting(200).items();
        (open.len() == 1).then_some(())
    })
    .await;
    admin.put_file("win7-office", draft, "ckm", &later).await.expecting(201);
    still.write(&older[1000..]).await;
    let refused = still.read_answer("PUT").await.expect("an answer");
    assert_eq!(refused.problem(409), "upload_lost");
    assert!(admin.get(&path).await.expecting(200).body == later);
    depot.comes_to_store(1).await;
}

async fn readers_see_whole_promotions_while_writers_work(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=8 {
        admin.ready_revision("win7-office", seed).await;
    }
    admin.promote("win7-office", "production", 1).await.expecting(200);
    let anyone = depot.anonymous();
    let writer = async {
        for revision in (2..=8).chain((1..8).rev()) {
            admin.promote("win7-office", "production", revision).await.expecting(200);
        }
    };
    let reader = async {
        let mut last_epoch = 0;
        for _ in 0..100 {
            let told = anyone.check_for_update("win7-office", "production", 0, "pc-1").await;
            let told = told.expecting(200).json();
            let epoch = told["epoch"].as_u64().expect("an epoch");
            assert!(epoch >= last_epoch, "went back from {last_epoch} to {epoch}");
            last_epoch = epoch;
            let url = told["target"]["files"][0]["url"].as_str().expect("a URL").to_owned();
            let file = anyone.get(&url).await.expecting(200);
            let digest = crate::harness::sample::digest(&file.body);
            assert_eq!(told["target"]["files"][0]["digest"], digest);
        }
    };
    tokio::join!(writer, reader);
}
