//! Uploads by BITS, as the MED-V console makes them: a file's name alone makes an image, its draft, its
//! seal and its promotion; and every rule and refusal of the protocol.

mod errors;
mod fragments;
mod sessions;
mod survival;

use serde_json::{Value, json};

use crate::harness::actions::{ckm, file_path, index};
use crate::harness::bits_client::{BitsClient, next_offset};
use crate::harness::command::run;
use crate::harness::{Database, Depot, Person, on_both_databases};

on_both_databases![
    both_files_make_seal_and_promote_a_revision,
    names_find_their_image_in_any_spelling,
    a_ckm_begins_the_next_draft_and_an_index_joins_the_oldest,
    a_file_put_by_the_api_is_met_by_its_index,
    a_promotion_that_is_refused_leaves_the_upload,
    a_name_pattern_of_one_s_own_is_followed,
    curl_uploads_by_the_protocol_s_text,
];

const IMAGE: &str = "win7-office";

/// All of a file in blocks of 64 KiB.
async fn upload(depot: &Depot, person: &Person, name: &str, bytes: &[u8]) {
    let transfer = BitsClient::new(depot, person, name).upload(bytes, 65_536).await;
    assert_eq!((transfer.sessions, transfer.unanswered), (1, 0), "{name}");
    assert_eq!(transfer.sent, bytes.len() as u64, "{name}");
}

/// The roles of a revision's files.
fn roles(revision: &Value) -> Vec<String> {
    let files = revision["files"].as_array().expect("files");
    let mut roles: Vec<_> =
        files.iter().map(|file| file["role"].as_str().expect("a role").to_owned()).collect();
    roles.sort();
    roles
}

/// The file of a revision is what was sent.
async fn holds(person: &Person, revision: u64, role: &str, bytes: &[u8]) {
    let answer = person.get(&file_path(IMAGE, revision, role)).await.expecting(200);
    assert!(answer.body == bytes, "revision {revision}, {role}: other bytes");
}

async fn both_files_make_seal_and_promote_a_revision(database: Database) {
    let depot = Depot::on(database).setting("bits", "promote_to", "test").start().await;
    let publisher = depot.user_with_role("publisher").await;
    let mut client = BitsClient::new(&depot, &publisher, "win7-office.ckm");
    let created = client.create().await.expecting(200);
    let session = created.required_header("bits-session-id");
    let guid = session.strip_prefix('{').and_then(|id| id.strip_suffix('}')).expect("braces");
    assert!(guid.len() == 36 && guid == guid.to_uppercase(), "{session} is no GUID");
    assert_eq!(created.header("bits-protocol"), Some("{7df0354d-249b-430f-820d-3d2a9bef4931}"));
    assert_eq!(created.header("accept-encoding"), Some("identity"));
    // A session alone makes nothing.
    depot.admin().get("/api/v1/images/win7-office").await.problem(404);
    let file = ckm(1);
    let taken = client.part(&file, 0..200_000).await.expecting(200);
    assert_eq!(next_offset(&taken), 200_000);
    assert_eq!(taken.header("bits-session-id"), Some(session));
    client.ping().await.expecting(200);
    assert_eq!(next_offset(&client.part(&file, 200_000..300_000).await.expecting(200)), 300_000);
    // With the last byte the file is the draft's; Close changes nothing.
    let admin = depot.admin();
    assert_eq!(roles(&admin.revision(IMAGE, 1).await), ["ckm"]);
    client.close().await.expecting(200);
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "draft");

    upload(&depot, &publisher, "win7-office.ckm.index", &index(1)).await;
    let revision = admin.revision(IMAGE, 1).await;
    assert_eq!((&revision["state"], roles(&revision).len()), (&json!("ready"), 2));
    assert_eq!(revision["created_by"], "publisher");
    holds(&admin, 1, "ckm", &file).await;
    holds(&admin, 1, "index", &index(1)).await;
    let assignment = admin.assignment(IMAGE, "test").await;
    assert_eq!((&assignment["revision"], &assignment["by"]), (&json!(1), &json!("publisher")));
    // What BITS brought is there for BITS at once.
    let in_the_tree = depot.anonymous().get_tree("test/win7-office_1.ckm").await.expecting(200);
    assert!(in_the_tree.body == file, "other bytes in the tree");
}

async fn names_find_their_image_in_any_spelling(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (number, (first, second)) in [
        ("win7-office.ckm", "win7-office.ckm.index"),
        ("win7-office_12.CKM", "win7-office_12.CKM.INDEX"),
        ("WIN7-Office_3.Ckm", "win7-office.index"),
        ("win7-office.ckm.Index", "win7-office.ckm"),
    ]
    .into_iter()
    .enumerate()
    {
        upload(&depot, &admin, first, &ckm(1)).await;
        upload(&depot, &admin, second, &index(1)).await;
        let revision = admin.revision(IMAGE, number as u64 + 1).await;
        assert_eq!(revision["state"], "ready", "{first} and {second}: {revision}");
    }
    assert_eq!(admin.get("/api/v1/images").await.items().len(), 1);
}

async fn a_ckm_begins_the_next_draft_and_an_index_joins_the_oldest(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let (first, second, third) = (ckm(1), ckm(2), ckm(3));
    // A file that is on its way has its role as much as one that is there.
    let mut under_way = BitsClient::new(&depot, &admin, "win7-office.ckm");
    under_way.create().await.expecting(200);
    under_way.part(&first, 0..1000).await.expecting(200);
    upload(&depot, &admin, "win7-office.ckm", &second).await;
    upload(&depot, &admin, "win7-office.ckm", &third).await;
    for (revision, present) in [(1, &[][..]), (2, &["ckm"]), (3, &["ckm"])] {
        assert_eq!(roles(&admin.revision(IMAGE, revision).await), present, "revision {revision}");
    }
    for (seed, sealed) in [(1, None), (2, Some(2)), (3, Some(3))] {
        upload(&depot, &admin, "win7-office.ckm.index", &index(seed)).await;
        holds(&admin, seed, "index", &index(seed)).await;
        if let Some(sealed) = sealed {
            assert_eq!(admin.revision(IMAGE, sealed).await["state"], "ready");
        }
    }
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "draft");
    under_way.part(&first, 1000..300_000).await.expecting(200);
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
    holds(&admin, 1, "ckm", &first).await;
    // With no draft left that lacks one, an index begins the next, and the `.ckm` joins it.
    upload(&depot, &admin, "win7-office.ckm.index", &index(4)).await;
    upload(&depot, &admin, "win7-office.ckm", &ckm(4)).await;
    assert_eq!(admin.revision(IMAGE, 4).await["state"], "ready");
}

async fn a_file_put_by_the_api_is_met_by_its_index(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image(IMAGE).await;
    let revision = admin.draft(IMAGE).await;
    admin.put_file(IMAGE, revision, "ckm", &ckm(1)).await.expecting(201);
    upload(&depot, &admin, "win7-office.ckm.index", &index(1)).await;
    assert_eq!(admin.revision(IMAGE, revision).await["state"], "ready");
}

async fn a_promotion_that_is_refused_leaves_the_upload(database: Database) {
    let depot = Depot::on(database).setting("bits", "promote_to", "production").start().await;
    let publisher = depot.user_with_role("publisher").await;
    upload(&depot, &publisher, "win7-office.ckm", &ckm(1)).await;
    upload(&depot, &publisher, "win7-office.ckm.index", &index(1)).await;
    let admin = depot.admin();
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
    admin.get("/api/v1/images/win7-office/channels/production").await.problem(404);
    let metrics = admin.get("/metrics").await.expecting(200).text();
    assert!(metrics.contains("imagedepot_bits_promotions_refused_total 1"), "{metrics}");
    assert!(metrics.contains("method=\"BITS_POST\""), "{metrics}");
    assert!(depot.server.log().contains("was not promoted as bits.promote_to says"));
    // An administrator may: their upload is promoted.
    upload(&depot, &admin, "win7-office.ckm", &ckm(2)).await;
    upload(&depot, &admin, "win7-office.ckm.index", &index(2)).await;
    assert_eq!(admin.assignment(IMAGE, "production").await["revision"], 2);
}

async fn a_name_pattern_of_one_s_own_is_followed(database: Database) {
    let pattern = "v[0-9]+-(?<image>[a-z0-9-]+)";
    let depot = Depot::on(database).setting("bits", "name_pattern", pattern).start().await;
    let admin = depot.admin();
    upload(&depot, &admin, "v12-win7-office.ckm", &ckm(1)).await;
    upload(&depot, &admin, "v12-win7-office.index", &index(1)).await;
    assert_eq!(admin.revision(IMAGE, 1).await["state"], "ready");
    BitsClient::new(&depot, &admin, "win7-office.ckm").create().await.expecting(400);
}

async fn curl_uploads_by_the_protocol_s_text(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let (file, half) = (ckm(1), 150_000);
    let (first, second) = (depot.scratch().join("first"), depot.scratch().join("second"));
    std::fs::write(&first, &file[..half]).expect("write a half");
    std::fs::write(&second, &file[half..]).expect("write a half");
    let curl = |headers: Vec<String>, body: Option<&std::path::Path>| {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--request", "BITS_POST"]);
        command.args(["--user", &admin.name_and_password()]);
        for header in headers {
            command.args(["--header", &header]);
        }
        match body {
            Some(path) => command.arg("--data-binary").arg(format!("@{}", path.display())),
            None => command.args(["--data-binary", ""]),
        };
        command.arg(format!("{}/MEDVImages/win7-office.ckm", depot.server.url()));
        async { run(command).await.successful().stdout }
    };
    let protocols = "BITS-Supported-Protocols: {7DF0354D-249B-430F-820D-3D2A9BEF4931}".to_owned();
    let created = curl(vec!["BITS-Packet-Type: Create-Session".to_owned(), protocols], None).await;
    assert!(created.starts_with("HTTP/1.1 200"), "{created}");
    let line = created.lines().find(|line| line.to_lowercase().starts_with("bits-session-id:"));
    let session = line.expect("a session").trim().to_owned();
    for (range, path, next) in [
        ("bytes 0-149999/300000", &first, "150000"),
        ("bytes 150000-299999/300000", &second, "300000"),
    ] {
        let headers = vec![
            "BITS-Packet-Type: Fragment".to_owned(),
            session.clone(),
            format!("Content-Range: {range}"),
            "Content-Type:".to_owned(),
        ];
        let taken = curl(headers, Some(path)).await.to_lowercase();
        assert!(taken.contains("200 ok"), "{taken}");
        assert!(taken.contains(&format!("bits-received-content-range: {next}\r\n")), "{taken}");
    }
    let closed = curl(vec!["BITS-Packet-Type: Close-Session".to_owned(), session], None).await;
    assert!(closed.starts_with("HTTP/1.1 200"), "{closed}");
    holds(&admin, 1, "ckm", &file).await;
}
