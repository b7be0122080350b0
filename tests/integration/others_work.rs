//! The limits of what publishers may do to others' work, and the outcome for their own work when they lose the right.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use crate::harness::actions::{ckm, file_path, index, revision_path};
use crate::harness::bits_client::BitsClient;
use crate::harness::{Database, Depot, Person, eventually, on_both_databases, sample};

on_both_databases![
    a_draft_is_filled_and_sealed_by_its_maker_or_an_administrator,
    a_bits_upload_joins_no_draft_of_somebody_else,
    who_takes_protection_away_needs_the_right_to_delete,
    a_file_whose_sender_was_disabled_meanwhile_does_not_become_the_draft_s,
];

async fn publisher_called(depot: &Depot, name: &str) -> Person {
    let password = format!("password of {name}");
    let user = json!({"name": name, "password": password, "roles": ["publisher"]});
    depot.admin().post("/api/v1/users").json(&user).await.expecting(201);
    depot.user(name, &password)
}

async fn a_draft_is_filled_and_sealed_by_its_maker_or_an_administrator(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let (alice, mallory) =
        (publisher_called(&depot, "alice").await, publisher_called(&depot, "mallory").await);
    alice.create_image("win7-office").await;
    let draft = alice.draft("win7-office").await;
    alice.put_file("win7-office", draft, "ckm", &ckm(1)).await.expecting(201);

    mallory.put_file("win7-office", draft, "ckm", &ckm(2)).await.problem(403);
    mallory.put_file("win7-office", draft, "index", &index(2)).await.problem(403);
    let upload = json!({"image": "win7-office", "revision": draft, "role": "index", "size": 4000});
    mallory.post("/api/v1/uploads").json(&upload).await.problem(403);
    let path = file_path("win7-office", draft, "index");
    let resumable = mallory
        .put(&path)
        .header("Upload-Complete", "?0")
        .header("Upload-Length", "4000")
        .body(index(2));
    resumable.await.problem(403);
    let target = "image d2luNy1vZmZpY2U=,revision MQ==,role aW5kZXg=";
    let tus = mallory.post("/api/v1/uploads").header("Tus-Resumable", "1.0.0");
    tus.header("Upload-Length", "4000").header("Upload-Metadata", target).await.expecting(403);

    alice.put_file("win7-office", draft, "index", &index(1)).await.expecting(201);
    mallory.seal("win7-office", draft).await.problem(403);
    let file = alice.get(&file_path("win7-office", draft, "ckm")).await.expecting(200);
    assert!(file.body == ckm(1), "mallory's bytes are in alice's draft");
    admin.put_file("win7-office", draft, "index", &index(3)).await.expecting(200);
    admin.seal("win7-office", draft).await.expecting(200);
}

async fn a_bits_upload_joins_no_draft_of_somebody_else(database: Database) {
    let depot = Depot::start(database).await;
    let (alice, mallory) =
        (publisher_called(&depot, "alice").await, publisher_called(&depot, "mallory").await);
    alice.create_image("win7-office").await;
    let draft = alice.draft("win7-office").await;
    BitsClient::new(&depot, &mallory, "win7-office.ckm").upload(&ckm(2), 100_000).await;
    let revision = alice.revision("win7-office", draft).await;
    assert_eq!(revision["files"], json!([]), "alice's draft has mallory's file");
    let other = alice.revision("win7-office", draft + 1).await;
    assert_eq!(other["created_by"], "mallory");
    // Nor does an index of mallory's complete what alice has begun.
    BitsClient::new(&depot, &alice, "win7-office.ckm").upload(&ckm(1), 100_000).await;
    BitsClient::new(&depot, &mallory, "win7-office.ckm.index").upload(&index(2), 100_000).await;
    assert_eq!(alice.revision("win7-office", draft).await["state"], "draft");
    assert_eq!(alice.revision("win7-office", draft + 1).await["state"], "ready");
}

async fn who_takes_protection_away_needs_the_right_to_delete(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let publisher = publisher_called(&depot, "publisher").await;
    admin.create_image("win7-office").await;
    let revision = admin.ready_revision("win7-office", 1).await;
    let path = revision_path("win7-office", revision);
    let protected = |value: bool| json!({"protected": value});
    publisher.patch(&path).json(&protected(true)).await.expecting(200);
    publisher.patch(&path).json(&protected(false)).await.problem(403);
    publisher.patch(&path).json(&json!({"notes": "January"})).await.expecting(200);
    admin.patch(&path).json(&protected(false)).await.expecting(200);

    let image = "/api/v1/images/win7-office";
    let keep = |number: serde_json::Value| json!({"keep_revisions": number});
    publisher.patch(image).json(&keep(json!(1))).await.problem(403);
    admin.patch(image).json(&keep(json!(10))).await.expecting(200);
    publisher.patch(image).json(&keep(json!(9))).await.problem(403);
    publisher.patch(image).json(&keep(json!(11))).await.expecting(200);
    publisher.patch(image).json(&keep(json!(null))).await.expecting(200);

    // A draft of one's own may be given up.
    let own = publisher.draft("win7-office").await;
    let path = revision_path("win7-office", own);
    publisher.patch(&path).json(&protected(true)).await.expecting(200);
    publisher.patch(&path).json(&protected(false)).await.expecting(200);
}

/// A body whose second half comes when it is let go.
fn in_two_halves(bytes: &[u8]) -> (reqwest::Body, tokio::sync::oneshot::Sender<()>) {
    let (let_go, waits) = tokio::sync::oneshot::channel();
    let half = bytes.split_at(bytes.len() / 2);
    let (first, second) = (half.0.to_vec(), half.1.to_vec());
    let rest = futures_util::stream::once(async move {
        let _let_go = waits.await;
        second
    });
    let parts = futures_util::stream::once(async move { first }).chain(rest);
    (reqwest::Body::wrap_stream(parts.map(Ok::<_, std::io::Error>)), let_go)
}

async fn a_file_whose_sender_was_disabled_meanwhile_does_not_become_the_draft_s(
    database: Database,
) {
    const SIZE: usize = 8_000_000;
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (number, way) in ["whole", "resumable", "json", "tus"].into_iter().enumerate() {
        let name = format!("publisher-{way}");
        let publisher = publisher_called(&depot, &name).await;
        let image = format!("image-{way}");
        publisher.create_image(&image).await;
        let draft = publisher.draft(&image).await;
        let path = file_path(&image, draft, "ckm");
        let new = json!({"image": image, "revision": draft, "role": "ckm", "size": SIZE});
        let (body, let_go) = in_two_halves(&sample::bytes(number as u64, SIZE));
        let call = match way {
            "whole" => publisher.put(&path).header("Content-Length", &SIZE.to_string()),
            "resumable" => publisher
                .put(&path)
                .header("Upload-Complete", "?1")
                .header("Upload-Length", &SIZE.to_string()),
            _ => {
                let begun = publisher.post("/api/v1/uploads").json(&new).await.expecting(201);
                let session = begun.required_header("location").to_owned();
                let call = publisher.call(&Method::PATCH, &session);
                if way == "json" {
                    call.header("Content-Type", "application/partial-upload")
                        .header("Upload-Complete", "?1")
                        .header("Upload-Offset", "0")
                } else {
                    call.header("Tus-Resumable", "1.0.0")
                        .header("Content-Type", "application/offset+octet-stream")
                        .header("Upload-Offset", "0")
                }
            }
        };
        let sending = tokio::spawn(call.body(body).into_future());
        eventually("the upload is under way", || async {
            let stored = depot.stored_files();
            stored.iter().any(|file| file.contains("part")).then_some(())
        })
        .await;
        let user = format!("/api/v1/users/{name}");
        admin.patch(&user).json(&json!({"disabled": true})).await.expecting(200);
        let_go.send(()).expect("the sender waits");
        let answer = sending.await.expect("the sender");
        assert!(
            [401, 403, 404, 409].contains(&answer.status),
            "{way}: {}: {}",
            answer.status,
            answer.text()
        );
        let revision = admin.revision(&image, draft).await;
        assert_eq!(revision["files"], json!([]), "{way}: the file is there");
        for upload in admin.get("/api/v1/uploads").await.expecting(200).items() {
            admin
                .delete(&format!("/api/v1/uploads/{}", upload["id"].as_str().expect("an id")))
                .await;
        }
        depot.comes_to_store(0).await;
    }
}
