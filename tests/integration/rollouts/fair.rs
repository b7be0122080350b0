//! A share is sticky and fair: nobody leaves it, nobody flaps, and each promotion begins with others.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{PATH, change, promote, three_revisions};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot, Person, on_both_databases};

on_both_databases![
    twenty_thousand_clients_come_in_at_each_step_and_never_leave,
    a_group_comes_first_and_a_client_without_an_id_last,
];

const CLIENTS: usize = 20_000;

/// Asks for every client, a hundred in a request, and returns those that are offered the revision.
async fn offered(person: &Person, revision: u64) -> HashSet<usize> {
    let mut offered = HashSet::new();
    for hundred in 0..CLIENTS / 100 {
        let clients = hundred * 100..(hundred + 1) * 100;
        let questions: Vec<Value> = clients
            .map(|n| json!({"image": "win7-office", "revision": 1, "client": format!("PC-{n:05}")}))
            .collect();
        let asked = person.post("/api/v1/update-check").json(&json!(questions)).await;
        for (n, answer) in asked.expecting(200).items().iter().enumerate() {
            match answer["reason"].as_str() {
                Some("newer_revision") => {
                    assert_eq!(answer["target"]["revision"], revision, "{answer}");
                    assert!(offered.insert(hundred * 100 + n));
                }
                Some("held_by_rollout") => assert_eq!(answer["action"], "hold", "{answer}"),
                _ => panic!("{answer}"),
            }
        }
    }
    offered
}

async fn twenty_thousand_clients_come_in_at_each_step_and_never_leave(database: Database) {
    let mut depot = Depot::start(database).await;
    let admin = depot.admin();
    three_revisions(&admin).await;
    let other = match database {
        Database::Postgres => Some(depot.replica("second").await),
        Database::Sqlite => None,
    };
    let second = other.as_ref().map_or_else(
        || depot.anonymous(),
        |other| Person::new(&other.url(), Some(("admin", ADMIN_PASSWORD))),
    );
    promote(&admin, 2, json!({"percent": 5})).await.expecting(200);
    let first = offered(&depot.anonymous(), 2).await;
    // 5 % of 20,000 is 1,000; the standard deviation is 31.
    assert!((850..1150).contains(&first.len()), "{}", first.len());
    assert_eq!(offered(&second, 2).await, first, "at another server, or asked again");
    change(&admin, json!({"percent": 25})).await.expecting(200);
    let quarter = offered(&second, 2).await;
    assert!(
        first.is_subset(&quarter) && (4_700..5_300).contains(&quarter.len()),
        "{}",
        quarter.len()
    );
    if database == Database::Sqlite {
        depot.server.restart().await;
        assert_eq!(offered(&depot.anonymous(), 2).await, quarter, "after a restart");
    }
    let admin = depot.admin();
    change(&admin, json!({"percent": 100})).await.expecting(200);
    assert_eq!(offered(&depot.anonymous(), 2).await.len(), CLIENTS);

    admin.put(PATH).json(&json!({"revision": 1})).await.expecting(200);
    promote(&admin, 3, json!({"percent": 5})).await.expecting(200);
    let others = offered(&depot.anonymous(), 3).await;
    // By chance, 5 % of 5 % are in both: 50, with a standard deviation of 7.
    let both = first.intersection(&others).count();
    assert!((15..=85).contains(&both), "{both} clients are among the first of both promotions");
}

async fn a_group_comes_first_and_a_client_without_an_id_last(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    three_revisions(&admin).await;
    let steps = json!({"steps": [{"percent": 100, "groups": ["Pilot-*"]}, {"percent": 99.99}]});
    promote(&admin, 2, steps).await.expecting(200);
    let ask = async |query: &str| {
        let path = format!("/api/v1/update-check?image=win7-office&revision=1{query}");
        depot.anonymous().get(&path).await.expecting(200).json()["action"].clone()
    };
    assert_eq!(ask("").await, "hold", "a client without an id has the last place");
    assert_eq!(ask("&group=pilot-7").await, "update");
    let refused = depot.anonymous().get("/api/v1/update-check?image=win7-office&group=a%20b").await;
    assert_eq!(refused.problem(400), "bad_query");
}
