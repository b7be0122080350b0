//! Blobs and tree in a bucket of an S3 server: what the server does, seen from the bucket.

use std::collections::BTreeSet;

use crate::harness::actions::{ckm, index};
use crate::harness::channel_folder::{DOCUMENTS, is_document, tree_of};
use crate::harness::command::{as_admin, curl, imagedepot, run};
use crate::harness::{Database, Depot, Store, eventually, on_both_databases, sample};

on_both_databases![
    the_tree_in_the_bucket_is_what_http_serves,
    a_large_file_is_published_in_parts,
    what_is_withdrawn_and_deleted_leaves_the_bucket,
    what_somebody_did_to_the_tree_is_made_good_and_foreign_objects_stay,
    a_kill_while_publishing_is_made_good,
    downloads_are_sent_to_the_bucket_where_that_is_wanted,
];

#[tokio::test]
async fn a_start_says_what_the_store_does_and_leaves_nothing_in_it() {
    // Ceph refuses to replace where it is only to make, and compares no checksums.
    for (store, conditional_writes) in [(Store::S3, true), (Store::Azure, true)] {
        let depot = Depot::on(Database::Sqlite).store(store).start().await;
        let log = depot.server.log();
        let line = log.lines().find(|line| line.contains("the store was checked")).expect("a line");
        let said: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(said["conditional_writes"], conditional_writes, "{line}");
        assert_eq!((&said["checksums"], &said["copies"]), (&false.into(), &true.into()), "{line}");
        let names = bucket(&depot).names("").await;
        let is_expected = |name: &String| is_document(name) || name == "imagedepot-catalog";
        assert!(names.iter().all(is_expected), "{names:?}");
    }
}

#[tokio::test]
async fn a_store_that_lets_nobody_in_is_refused_at_the_start() {
    let bucket = crate::harness::bucket::Bucket::in_s3().await;
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("IMAGEDEPOT__STORE__OPTIONS__SECRET_ACCESS_KEY", "another"),
        ("IMAGEDEPOT__STORE__URL", "s3://no-such-bucket/x"),
    ] {
        let data = folder.path().join("data").display().to_string();
        let mut serve = imagedepot(["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
        serve.envs(bucket.environment.iter().cloned()).env(name, value);
        let refused = run(serve).await;
        assert_eq!(refused.code, 1, "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains("store: "), "{}", refused.stderr);
        assert!(!refused.stderr.contains(value) || value.starts_with("s3:"), "{}", refused.stderr);
    }
}

async fn depot_in_a_bucket(database: Database) -> Depot {
    Depot::on(database).store(Store::S3).start().await
}

fn bucket(depot: &Depot) -> &crate::harness::bucket::Bucket {
    depot.bucket.as_ref().expect("started with one")
}

async fn the_tree_in_the_bucket_is_what_http_serves(database: Database) {
    the_tree_is_what_http_serves(depot_in_a_bucket(database).await).await;
}

#[tokio::test]
async fn the_tree_in_azure_is_what_http_serves() {
    let depot = Depot::on(Database::Sqlite).store(Store::Azure).start().await;
    the_tree_is_what_http_serves(depot).await;
}

async fn the_tree_is_what_http_serves(depot: Depot) {
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("win10-till", "test").await;
    let tree = bucket(&depot).tree().await;
    let files = [
        "test/win10-till_1.ckm",
        "test/win10-till_1.ckm.index",
        "win7-office_1.ckm",
        "win7-office_1.ckm.index",
    ];
    assert_eq!(tree.keys().cloned().collect::<BTreeSet<_>>(), tree_of(["", "test"], files));
    for name in tree.keys() {
        // What speaks of the files follows them.
        eventually(&format!("{name} is the same in the bucket and over HTTP"), || async {
            let served = depot.anonymous().get_tree(name).await.expecting(200);
            let stored = bucket(&depot).get(&format!("MEDVImages/{name}")).await;
            (served.body == stored[..]).then_some(())
        })
        .await;
    }
    assert!(tree["win7-office_1.ckm"] == ckm(1) && tree["win7-office_1.ckm.index"] == index(1));
    let again = depot.admin().post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!(again["steps"], serde_json::json!([]), "what is right is not touched");
    // A bucket's own site tells clients and caches the same as the server does.
    for name in ["win7-office_1.ckm"].into_iter().chain(DOCUMENTS) {
        let served = depot.anonymous().get_tree(name).await.expecting(200);
        let headers = bucket(&depot).headers(&format!("MEDVImages/{name}")).await;
        for header in ["content-type", "cache-control", "content-length"] {
            assert_eq!(headers[header], served.required_header(header), "{header} of {name}");
        }
    }
    let headers = bucket(&depot).headers("MEDVImages/win7-office_1.ckm").await;
    let digest = headers.get("x-amz-meta-sha256").or_else(|| headers.get("x-ms-meta-sha256"));
    let digest = digest.expect("the digest among what the object says of itself");
    assert_eq!(format!("sha256:{}", digest.to_str().expect("text")), sample::digest(&ckm(1)));
}

async fn a_large_file_is_published_in_parts(database: Database) {
    let setting = ("store", "multipart_copy_above", "5 MiB");
    let depot = Depot::on(database).store(Store::S3);
    let depot = depot.setting(setting.0, setting.1, setting.2).start().await;
    let bytes = sample::bytes(4, 12_000_000);
    depot.admin().publish_single("debian", "qcow2", &bytes).await;
    depot.admin().wait_until_published("debian", "production").await;
    assert!(bucket(&depot).get("MEDVImages/debian_1.qcow2").await == bytes);
    let headers = bucket(&depot).headers("MEDVImages/debian_1.qcow2").await;
    assert_eq!(headers["content-type"], "application/octet-stream");
    // S3 gives what was joined of parts a tag that ends in their number.
    let tag = headers["etag"].to_str().expect("a tag");
    assert!(tag.trim_matches('"').ends_with("-3"), "{tag}");
    assert!(headers.contains_key("x-amz-meta-sha256"), "{headers:?}");
    let to = depot.scratch().join("client").display().to_string();
    run(as_admin(&depot.server.url(), ["pull", "debian", "--to", &to])).await.successful();
}

async fn what_is_withdrawn_and_deleted_leaves_the_bucket(database: Database) {
    let depot = Depot::on(database).store(Store::S3).setting("tree", "grace", "0s");
    let depot = depot.setting("store", "safety_age", "0s").start().await;
    let admin = depot.admin();
    let channel = serde_json::json!({"keep_old": 0});
    admin.patch("/api/v1/channels/production").json(&channel).await.expecting(200);
    admin.published_image("win7-office", "production").await;
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    let expected = tree_of(["", "test"], ["win7-office_2.ckm", "win7-office_2.ckm.index"]);
    eventually("the first revision has left the tree", || async {
        let names = bucket(&depot).names("MEDVImages").await;
        (names.into_iter().collect::<BTreeSet<_>>() == expected).then_some(())
    })
    .await;
    assert_eq!(bucket(&depot).blobs().await.len(), 4);
    admin.delete("/api/v1/images/win7-office/revisions/1").await.expecting(204);
    eventually("its blobs have left the bucket", || async {
        (bucket(&depot).blobs().await.len() == 2).then_some(())
    })
    .await;
}

async fn what_somebody_did_to_the_tree_is_made_good_and_foreign_objects_stay(database: Database) {
    let depot = depot_in_a_bucket(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    let bucket = bucket(&depot);
    let mut other = ckm(1);
    other[7] ^= 1;
    bucket.put("MEDVImages/win7-office_1.ckm", &other).await;
    bucket.delete("MEDVImages/win7-office_1.ckm.index").await;
    bucket.put("MEDVImages/notes.txt", b"somebody's").await;
    bucket.put("MEDVImages/win7-office_2.ckm", b"in the way").await;
    let done = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!(done["foreign"], serde_json::json!(["notes.txt", "win7-office_2.ckm"]), "{done}");
    assert!(bucket.get("MEDVImages/win7-office_1.ckm").await == ckm(1));
    assert!(bucket.get("MEDVImages/win7-office_1.ckm.index").await == index(1));
    // Nothing is left to do, and nothing is touched; documents are written once in a second at most.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    admin.post("/api/v1/publications/reconcile").await.expecting(200);
    let headers = bucket.headers("MEDVImages/win7-office_1.ckm").await;
    let again = admin.post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!(again["steps"], serde_json::json!([]));
    let after = bucket.headers("MEDVImages/win7-office_1.ckm").await;
    assert_eq!(headers["last-modified"], after["last-modified"]);
    // Somebody's object stands where a file of ours should: only a person can decide.
    let second = admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", second).await.expecting(200);
    admin.post("/api/v1/publications/reconcile").await;
    assert_eq!(bucket.get("MEDVImages/win7-office_2.ckm").await, b"in the way");
    assert_eq!(bucket.get("MEDVImages/notes.txt").await, b"somebody's");
}

async fn a_kill_while_publishing_is_made_good(database: Database) {
    let mut depot = depot_in_a_bucket(database).await;
    depot.admin().create_image("win7-office").await;
    for seed in 1..=6 {
        let admin = depot.admin();
        let revision = admin.ready_revision("win7-office", seed).await;
        admin.promote("win7-office", "production", revision).await.expecting(200);
        tokio::time::sleep(std::time::Duration::from_millis(sample::random_below(60))).await;
        depot.server.kill();
        depot.server.start_again().await;
        let admin = depot.admin();
        admin.wait_until_published("win7-office", "production").await;
        let name = format!("MEDVImages/win7-office_{revision}.ckm");
        assert!(bucket(&depot).get(&name).await == ckm(seed));
        assert!(bucket(&depot).get(&format!("{name}.index")).await == index(seed));
    }
}

async fn downloads_are_sent_to_the_bucket_where_that_is_wanted(database: Database) {
    let depot = Depot::on(database).store(Store::S3).setting("tree", "redirect", "true");
    let depot = depot.start().await;
    depot.admin().published_image("win7-office", "production").await;
    let path = format!("{}/MEDVImages/win7-office_1.ckm", depot.server.url());
    let fetched = depot.scratch().join("fetched.ckm");
    let mut fetch = curl();
    fetch.args(["--location", "--write-out", "%{num_redirects} %{content_type}", "--output"]);
    fetch.arg(&fetched).arg(&path);
    let said = run(fetch).await.successful().stdout;
    assert_eq!(said, "1 application/octet-stream");
    assert!(std::fs::read(&fetched).expect("the file") == ckm(1));
    let mut part = curl();
    part.args(["--location", "--range", "100000-100099", "--output"]).arg(&fetched).arg(&path);
    run(part).await.successful();
    assert!(std::fs::read(&fetched).expect("the range") == ckm(1)[100_000..100_100]);
    // The address is a permission: nobody keeps it, and what is not a revision's file has none.
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let answer = plain.build().expect("a client").get(&path).send().await.expect("an answer");
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    depot.anonymous().get_tree("channel.json").await.expecting(200);
    // HEAD and GET say the same of the file, whoever answers.
    let mut head = curl();
    head.args(["--location", "--head"]).arg(&path);
    let head = run(head).await.successful().stdout.to_lowercase();
    let mut get = curl();
    get.args(["--location", "--dump-header", "-", "--output", "/dev/null"]).arg(&path);
    let get = run(get).await.successful().stdout.to_lowercase();
    for name in ["etag: ", "last-modified: ", "content-length: "] {
        let of = |said: &str| said.lines().rfind(|line| line.starts_with(name)).map(str::to_owned);
        assert!(of(&head).is_some() && of(&head) == of(&get), "{name}{head}{get}");
    }
    // Buckets answer several ranges with the whole file.
    let several = depot.anonymous().get("/MEDVImages/win7-office_1.ckm");
    let several = several.header("range", "bytes=0-9,20-29").await.expecting(206);
    // One tag, whoever answers; conditions are answered here.
    let tag = several.required_header("etag").to_owned();
    assert!(head.contains(&format!("etag: {}", tag.to_lowercase())), "{tag}: {head}");
    let ask = || depot.anonymous().get("/MEDVImages/win7-office_1.ckm");
    ask().header("if-none-match", &tag).await.expecting(304);
    ask().header("if-match", "\"another\"").await.expecting(412);
    let other = ask().header("range", "bytes=0-9").header("if-range", "\"another\"").await;
    let other = other.expecting(200);
    assert!(other.body == ckm(1) && other.required_header("etag") == tag);
    let mut same = curl();
    same.args(["--location", "--range", "0-9", "--header", &format!("If-Range: {tag}")]);
    same.args(["--write-out", "%{http_code} %{num_redirects}", "--output"])
        .arg(&fetched)
        .arg(&path);
    assert_eq!(run(same).await.successful().stdout, "206 1");
}
