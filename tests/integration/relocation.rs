//! Moving: from a disk and SQLite to a bucket and PostgreSQL, with downloads and update checks going on.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{assignment_path, ckm, file_path};
use crate::harness::bucket::Bucket;
use crate::harness::command::{Finished, imagedepot, kill_after, run};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::postgres::TestDatabase;
use crate::harness::server::{Server, ServerSetup};
use crate::harness::{Database, Depot, Person, sample};

/// The new place, and its settings.
struct NewPlace {
    database: TestDatabase,
    bucket: Bucket,
    settings: PathBuf,
    data: PathBuf,
}

impl NewPlace {
    async fn beside(depot: &Depot) -> Self {
        let (database, bucket) = (TestDatabase::create(), Bucket::in_s3().await);
        let mut text = format!("[catalog]\nurl = \"{}\"\n[store]\n", database.url());
        let mut options = "[store.options]\n".to_owned();
        for (name, value) in &bucket.environment {
            if let Some(option) = name.strip_prefix("IMAGEDEPOT__STORE__OPTIONS__") {
                writeln!(options, "{} = \"{value}\"", option.to_lowercase()).expect("text");
            } else {
                writeln!(text, "url = \"{value}\"").expect("text");
            }
        }
        let settings = depot.scratch().join("new.toml");
        std::fs::write(&settings, text + &options).expect("the new settings");
        let data = depot.scratch().join("new-data");
        Self { database, bucket, settings, data }
    }

    async fn moved_here(&self, depot: &Depot) -> Finished {
        run(self.command(depot)).await
    }

    fn command(&self, depot: &Depot) -> std::process::Command {
        let mut command = imagedepot(["move", "--output", "json", "--to-config"]);
        command.arg(&self.settings).arg("--to-data").arg(&self.data);
        command.arg("--data").arg(depot.server.data()).envs(depot.environment());
        command
    }

    async fn start(&self, depot: &Depot) -> Server {
        Server::start(ServerSetup {
            data: self.data.clone(),
            log: depot.scratch().join("new.log"),
            environment: Vec::new(),
            arguments: vec!["--config".to_owned(), self.settings.display().to_string()],
        })
        .await
    }
}

async fn filled() -> Depot {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for seed in 1..=6 {
        admin.ready_revision("win7-office", seed).await;
    }
    for revision in [1, 2] {
        admin.promote("win7-office", "production", revision).await.expecting(200);
    }
    admin.wait_until_published("win7-office", "production").await;
    admin.wait_until_the_tree_is_complete().await;
    depot
}

#[tokio::test]
async fn everything_moves_while_downloads_and_checks_go_on() {
    let depot = filled().await;
    let place = NewPlace::beside(&depot).await;
    let clients = async {
        let client = depot.anonymous();
        loop {
            let told = client.check_for_update("win7-office", "production", 0, "pc-1").await;
            assert_eq!(told.expecting(200).json()["target"]["revision"].as_u64(), Some(2));
            assert!(client.get_tree("win7-office_2.ckm").await.expecting(200).body == ckm(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let moved = tokio::select! {
        moved = place.moved_here(&depot) => moved,
        never = clients => never,
    };
    let moved = moved.successful().last_line();
    assert_eq!((&moved["blobs"], &moved["lost"]), (&json!(12), &json!([])), "{moved}");
    // The old place answers, and takes no changes.
    depot.anonymous().get_tree("win7-office_2.ckm").await.expecting(200);
    let refused = depot.admin().post("/api/v1/images/win7-office/revisions").await;
    assert_eq!(refused.problem(503), "catalog_frozen");
    let refused = depot.admin().post("/api/v1/gc").await;
    assert_eq!(refused.problem(503), "catalog_frozen", "nor does background work go on");
    let told = json!({"kind": "copy", "channels": [], "bytes": 0});
    let refused = depot.admin().put("/api/v1/mirrors/berlin").json(&told).await;
    assert_eq!(refused.problem(503), "catalog_frozen", "it would be missing at the new place");
    let old = depot.anonymous().check_for_update("win7-office", "production", 1, "pc-1").await;

    let server = place.start(&depot).await;
    let (admin, client) = (admin_of(&server), Person::new(&server.url(), None));
    let new = client.check_for_update("win7-office", "production", 1, "pc-1").await;
    assert_eq!(new.header("etag"), old.header("etag"));
    for seed in 1..=6 {
        let bytes = admin.get(&file_path("win7-office", seed, "ckm")).await.expecting(200).body;
        assert_eq!(sample::digest(&bytes), sample::digest(&ckm(seed)));
    }
    assert_eq!(admin.draft("win7-office").await, 7);
    admin.wait_until_published("win7-office", "production").await;
    assert!(place.bucket.tree().await["win7-office_2.ckm"] == ckm(2));
    let back = admin.roll_back("win7-office", "production").await.expecting(200);
    assert_eq!(back.json()["revision"], 1);
}

fn admin_of(server: &Server) -> Person {
    Person::new(&server.url(), Some(("admin", ADMIN_PASSWORD)))
}

#[tokio::test]
async fn a_move_that_is_killed_is_given_up_or_gone_on_with() {
    let depot = filled().await;
    let place = NewPlace::beside(&depot).await;
    for milliseconds in [200, 500, 900, 2500] {
        kill_after(place.command(&depot), milliseconds).await;
    }
    let mut give_up = imagedepot(["move", "--give-up", "--data"]);
    give_up.arg(depot.server.data()).envs(depot.environment());
    run(give_up).await.successful();
    // As if nothing had been.
    let admin = depot.admin();
    let promote = admin.put(&assignment_path("win7-office", "production"));
    promote.json(&json!({"revision": 5})).await.expecting(200);
    place.moved_here(&depot).await.successful();
    let server = place.start(&depot).await;
    let told = Person::new(&server.url(), None)
        .check_for_update("win7-office", "production", 0, "pc-1")
        .await
        .expecting(200);
    assert_eq!(told.json()["target"]["revision"], 5);
    let scrub = admin_of(&server);
    scrub.post("/api/v1/scrub").await.expecting(202);
    crate::harness::eventually("everything was read", || async {
        let status = scrub.get("/api/v1/scrub").await.json();
        (status["wanted"] == 0 && status["damaged"] == json!([])).then_some(())
    })
    .await;
}

/// Whatever moment it is given up at, no change that was acknowledged afterwards is lost with a move that "moved".
#[tokio::test]
async fn a_move_that_is_given_up_meanwhile_does_not_end() {
    use sqlx::{Connection as _, Executor as _};
    let depot = filled().await;
    let place = NewPlace::beside(&depot).await;
    let mut migrate = imagedepot(["migrate", "--config"]);
    migrate.arg(&place.settings).arg("--data").arg(&place.data);
    run(migrate).await.successful();
    // The new database takes its time.
    let url = place.database.url();
    let mut slow = sqlx::PgConnection::connect(&url).await.expect("the new database");
    slow.execute("begin; lock table audit in share mode").await.expect("a lock");
    let (moved, ()) = tokio::join!(place.moved_here(&depot), async {
        let admin = depot.admin();
        crate::harness::eventually("it is frozen", || async {
            let refused = admin.post("/api/v1/images/win7-office/revisions").await;
            (refused.status == 503).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut give_up = imagedepot(["move", "--give-up", "--data"]);
        give_up.arg(depot.server.data()).envs(depot.environment());
        run(give_up).await.successful();
        admin.promote("win7-office", "production", 5).await.expecting(200);
        slow.execute("rollback").await.expect("the lock is gone");
    });
    assert_eq!(moved.code, 1, "{}", moved.stdout);
    assert!(moved.stderr.contains("given up"), "{}", moved.stderr);
    depot.admin().promote("win7-office", "production", 6).await.expecting(200);
}

/// Also while it still waits for the server to stop its work, some of which lasts as long as the server.
#[tokio::test]
async fn a_move_that_is_given_up_at_once_ends_within_seconds() {
    let depot = filled().await;
    let place = NewPlace::beside(&depot).await;
    let admin = depot.admin();
    let giving_up = async {
        crate::harness::eventually("it is frozen", || async {
            let refused = admin.post("/api/v1/images/win7-office/revisions").await;
            (refused.status == 503).then_some(())
        })
        .await;
        let mut give_up = imagedepot(["move", "--give-up", "--data"]);
        give_up.arg(depot.server.data()).envs(depot.environment());
        run(give_up).await.successful();
    };
    let moving = async { tokio::join!(place.moved_here(&depot), giving_up).0 };
    let moved = tokio::time::timeout(Duration::from_secs(30), moving).await.expect("its end");
    assert_eq!(moved.code, 1, "{}", moved.stdout);
    assert!(moved.stderr.contains("given up"), "{}", moved.stderr);
    admin.promote("win7-office", "production", 6).await.expecting(200);
}

#[tokio::test]
async fn an_older_copy_at_the_new_place_is_no_move() {
    let depot = filled().await;
    let place = NewPlace::beside(&depot).await;
    let backup = depot.scratch().join("backup").display().to_string();
    let mut taken = imagedepot(["backup", "--to", &backup, "--data"]);
    taken.arg(depot.server.data()).envs(depot.environment());
    run(taken).await.successful();
    depot.admin().promote("win7-office", "production", 5).await.expecting(200);
    let mut restore = imagedepot(["restore", "--from", &backup]);
    restore.arg("--config").arg(&place.settings).arg("--data").arg(&place.data);
    run(restore).await.successful();
    let refused = place.moved_here(&depot).await;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("empty"), "{}", refused.stderr);
    // The old place is the one that counts, and goes on.
    depot.admin().promote("win7-office", "production", 6).await.expecting(200);
}

#[tokio::test]
async fn a_store_under_another_name_is_the_same_store() {
    let depot = filled().await;
    let data = depot.server.data();
    let other_name = depot.scratch().join("other-name");
    std::os::unix::fs::symlink(data.join("blobs"), &other_name).expect("another name");
    let database = TestDatabase::create();
    let text = format!(
        "[catalog]\nurl = \"{}\"\n[store]\nurl = \"file://{}\"\n",
        database.url(),
        other_name.display(),
    );
    let settings = depot.scratch().join("new.toml");
    std::fs::write(&settings, text).expect("the new settings");
    let before = depot.stored_files();
    let mut command = imagedepot(["move", "--to-config"]);
    command.arg(&settings).arg("--to-data").arg(depot.scratch().join("new-data"));
    command.arg("--data").arg(data).envs(depot.environment());
    let refused = run(command).await;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("the same store"), "{}", refused.stderr);
    assert_eq!(depot.stored_files(), before);
}

/// Only the database changes: the bytes stay, and the tree is not made again.
#[tokio::test]
async fn the_catalog_moves_alone_where_the_store_is_the_same() {
    use std::os::unix::fs::MetadataExt as _;
    let mut depot = filled().await;
    let database = TestDatabase::create();
    let data = depot.server.data();
    let text = format!(
        "[catalog]\nurl = \"{}\"\n[store]\nurl = \"file://{}/blobs\"\n[tree]\nurl = \"file://{}/MEDVImages\"\n",
        database.url(),
        data.display(),
        data.display()
    );
    let settings = depot.scratch().join("new.toml");
    std::fs::write(&settings, text).expect("the new settings");
    let published = depot.tree().join("win7-office_2.ckm");
    let before = std::fs::metadata(&published).expect("a file");
    let new_data = depot.scratch().join("new-data");
    let mut command = imagedepot(["move", "--output", "json", "--to-config"]);
    command.arg(&settings).arg("--to-data").arg(&new_data).arg("--data").arg(data);
    command.envs(depot.environment().into_iter().filter(|(name, _)| !name.contains("__")));
    // The old settings name no places: they are those of its data folder.
    let moved = run(command).await.successful().last_line();
    assert_eq!(moved["copied_bytes"], 0, "{moved}");
    depot.server.stop().await;
    let server = Server::start(ServerSetup {
        data: new_data,
        log: depot.scratch().join("new.log"),
        environment: Vec::new(),
        arguments: vec!["--config".to_owned(), settings.display().to_string()],
    })
    .await;
    let plan = admin_of(&server).post("/api/v1/publications/reconcile").await.expecting(200).json();
    assert_eq!((&plan["steps"], &plan["foreign"]), (&json!([]), &json!([])), "{plan}");
    let after = std::fs::metadata(&published).expect("the file");
    assert_eq!((before.ino(), before.mtime()), (after.ino(), after.mtime()));
}
