//! A disk without a free byte, under everything that the server keeps: uploads stop cleanly, nothing
//! acknowledged is lost, the rest goes on, and with the room everything goes on.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::harness::actions::revision_path;
use crate::harness::command::{imagedepot, run};
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Answer, Database, Depot, Person, sample};

const SIZE: usize = 20_000_000;

#[tokio::test]
async fn uploads_survive_a_disk_without_a_free_byte() {
    let disk = SmallDisk::mounted(160);
    let mut depot = Depot::on(Database::Sqlite)
        .data_on(disk.path())
        .setting("store", "min_free", "8 MiB")
        .setting("tree", "grace", "0s")
        .start()
        .await;
    let admin = depot.admin();
    admin.publish_single("small", "qcow2", &sample::bytes(1, 10_000_000)).await;
    admin.publish_single("old", "qcow2", &sample::bytes(2, 10_000_000)).await;
    let files: Vec<_> = (10..13).map(|seed| sample::bytes(seed, SIZE)).collect();
    let mut uploads = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let upload = Upload::begin(&admin, &format!("image-{number}"), file.len()).await;
        upload.append(0, &file[..SIZE / 2]).await.expecting(204);
        uploads.push(upload);
    }

    // What does not fit beside what is promised is refused before the first byte.
    admin.create_single_image("too-much", "img").await;
    let draft = admin.draft("too-much").await;
    announce(&admin, "too-much", draft, 120_000_000).await.problem(507);

    let filler = disk.fill();
    for (upload, file) in uploads.iter().zip(&files) {
        upload.append_in_vain(SIZE / 2, &file[SIZE / 2..]).await;
        assert!(upload.offset().await >= SIZE / 2, "acknowledged bytes are lost");
    }
    checks_and_downloads_go_on(&depot).await;
    // Deletes work, and give room.
    uploads.pop().expect("the third").cancel().await.expecting(204);
    let never_promoted = admin.draft("old").await;
    admin.delete(&revision_path("old", never_promoted)).await.expecting(204);
    checks_and_downloads_go_on(&depot).await;

    std::fs::remove_file(filler).expect("give the room back");
    for (upload, file) in uploads.iter().zip(&files) {
        let offset = upload.offset().await;
        upload.append(offset, &file[offset..]).await.expecting(201);
        assert_eq!(upload.digest(&admin).await, sample::digest(file));
    }
    depot.server.stop().await;
    database_is_sound(&depot).await;
}

#[tokio::test]
async fn on_a_full_disk_what_frees_room_or_shuts_somebody_out_is_taken_and_nothing_else() {
    let disk = SmallDisk::mounted(96);
    let mut depot = Depot::on(Database::Sqlite)
        .data_on(disk.path())
        .setting("store", "min_free", "8 MiB")
        .start()
        .await;
    let admin = depot.admin();
    let kim = depot.user_with_role("publisher").await;
    admin.publish_single("small", "qcow2", &sample::bytes(1, 100_000)).await;
    for seed in [2, 3] {
        let revision = admin.draft("small").await;
        let bytes = sample::bytes(seed, 100_000);
        admin.put_file("small", revision, "image", &bytes).await.expecting(201);
        admin.seal("small", revision).await.expecting(200);
    }
    let draft = admin.draft("small").await;
    let spare = json!({"name": "spare", "folder": "spare"});
    admin.post("/api/v1/channels").json(&spare).await.expecting(201);
    let token = json!({"name": "lost", "roles": ["reader"]});
    let token = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let upload = Upload::begin(&admin, "image-0", SIZE).await;
    upload.append(0, &sample::bytes(10, SIZE / 2)).await.expecting(204);

    let filler = disk.fill();
    refuses_what_adds(&admin).await;
    // However often it is tried, the room that was kept is there for the others.
    for number in 0..100 {
        let change = json!({"description": number.to_string().repeat(5_000)});
        admin.patch("/api/v1/images/small").json(&change).await.problem(507);
    }
    checks_and_downloads_go_on(&depot).await;
    kim.get("/api/v1/images").await.expecting(200);
    let disabled = json!({"disabled": true});
    admin.patch("/api/v1/users/publisher").json(&disabled).await.expecting(200);
    kim.get("/api/v1/images").await.problem(401);
    admin.revoke("small", 2).await.expecting(200);
    admin.delete(&revision_path("small", 3)).await.expecting(204);
    admin.delete(&revision_path("small", draft)).await.expecting(204);
    admin.delete("/api/v1/channels/spare").await.expecting(204);
    let token = token["id"].as_str().expect("its id");
    admin.delete(&format!("/api/v1/tokens/{token}")).await.expecting(204);
    admin.post("/api/v1/gc").await.expecting(200);
    refuses_what_adds(&admin).await;
    // With its bytes there is room for all.
    upload.cancel().await.expecting(204);
    takes_what_adds(&admin, "with room").await;

    let rest = SmallDisk::fill_beside(&filler);
    refuses_what_adds(&admin).await;
    std::fs::remove_file(filler).expect("give the room back");
    std::fs::remove_file(rest).expect("give the room back");
    takes_what_adds(&admin, "with more room").await;
    let ballast = depot.server.data().join("ballast");
    assert!(ballast.exists(), "room is set aside again");
    depot.server.stop().await;
    database_is_sound(&depot).await;
}

async fn refuses_what_adds(admin: &Person) {
    let note = json!({"description": "new"});
    let refused = admin.patch("/api/v1/images/small").json(&note).await;
    assert_eq!(refused.problem(507), "no_room");
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("delete revisions or cancel uploads"), "{detail}");
    let image = json!({"name": "another", "kind": "medv"});
    admin.post("/api/v1/images").json(&image).await.problem(507);
    admin.post("/api/v1/images/small/revisions").await.problem(507);
    admin.patch("/api/v1/channels/production").json(&json!({"keep_old": 2})).await.problem(507);
    let enabled = json!({"disabled": false});
    admin.patch("/api/v1/users/publisher").json(&enabled).await.problem(507);
    let token = json!({"name": "more", "roles": ["reader"]});
    admin.post("/api/v1/tokens").json(&token).await.problem(507);
    admin.promote("small", "production", 1).await.problem(507);
}

async fn takes_what_adds(admin: &Person, note: &str) {
    let change = json!({"description": note});
    admin.patch("/api/v1/images/small").json(&change).await.expecting(200);
    admin.draft("small").await;
    admin.promote("small", "production", 1).await.expecting(200);
}

#[tokio::test]
async fn a_vacuum_needs_the_catalog_for_itself() {
    let mut depot = Depot::start(Database::Sqlite).await;
    depot.admin().create_image("one").await;
    let data = depot.server.data().to_owned();
    let vacuum = || {
        let mut vacuum = imagedepot(["migrate", "--vacuum", "--data"]);
        vacuum.arg(&data);
        run(vacuum)
    };
    assert_eq!(vacuum().await.code, 1, "a server runs on it");
    depot.server.stop().await;
    vacuum().await.successful();
    database_is_sound(&depot).await;
    depot.server.start_again().await;
    depot.admin().get("/api/v1/images/one").await.expecting(200);
}

#[tokio::test]
async fn a_restore_keeps_room_free_and_goes_on_when_there_is_more() {
    let depot = Depot::start(Database::Sqlite).await;
    for seed in 1..=3 {
        let bytes = sample::bytes(seed, 10_000_000);
        depot.admin().publish_single(&format!("image-{seed}"), "qcow2", &bytes).await;
    }
    let place = depot.scratch().join("backup");
    let backup = on_catalog(depot.server.data(), &["backup", "--to"], &place);
    run(backup).await.successful();
    let disk = SmallDisk::mounted(32);
    let data = disk.path().join("data");
    let restore = || {
        let mut restore = on_catalog(&data, &["restore", "--from"], &place);
        restore.env("IMAGEDEPOT__STORE__MIN_FREE", "8 MiB");
        run(restore)
    };
    let refused = restore().await;
    assert_eq!(refused.code, 8, "{}", refused.stdout);
    assert!(refused.stderr.contains("do not fit"), "{}", refused.stderr);
    let free = rustix::fs::statvfs(disk.path()).expect("the disk's room");
    assert!(free.f_bavail * free.f_frsize >= 8 << 20, "the floor is gone");
    disk.grow(64);
    restore().await.successful();
    let mut scrub = imagedepot(["scrub", "--data"]);
    scrub.arg(&data).env("IMAGEDEPOT__STORE__MIN_FREE", "8 MiB");
    run(scrub).await.successful();
}

fn on_catalog(data: &Path, arguments: &[&str], place: &Path) -> Command {
    let mut command = imagedepot([]);
    command.args(arguments).arg(place).arg("--data").arg(data);
    command
}

async fn checks_and_downloads_go_on(depot: &Depot) {
    let client = depot.anonymous();
    client.check_for_update("small", "production", 0, "pc-1").await.expecting(200);
    client.get_tree("small_1.qcow2").await.expecting(200);
    depot.anonymous().get("/readyz").await.expecting(200);
}

async fn database_is_sound(depot: &Depot) {
    let path = depot.server.data().join("catalog.sqlite");
    let mut catalog = SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .expect("the catalog");
    let said: (String,) =
        sqlx::query_as("pragma integrity_check").fetch_one(&mut catalog).await.expect("an answer");
    assert_eq!(said.0, "ok");
}

async fn announce(person: &Person, image: &str, revision: u64, size: usize) -> Answer {
    let target = json!({"image": image, "revision": revision, "role": "image", "size": size});
    person.post("/api/v1/uploads").json(&target).await
}

struct Upload {
    person: Person,
    image: String,
    location: String,
}

impl Upload {
    async fn begin(person: &Person, image: &str, size: usize) -> Self {
        person.create_single_image(image, "img").await;
        let revision = person.draft(image).await;
        let answer = announce(person, image, revision, size).await.expecting(201);
        let location = answer.required_header("location").to_owned();
        Self { person: person.clone(), image: image.to_owned(), location }
    }

    async fn try_append(&self, offset: usize, bytes: &[u8]) -> Result<Answer, reqwest::Error> {
        let complete = if offset + bytes.len() == SIZE { "?1" } else { "?0" };
        self.person
            .patch(&self.location)
            .header("Content-Type", "application/partial-upload")
            .header("Upload-Offset", &offset.to_string())
            .header("Upload-Complete", complete)
            .body(bytes.to_vec())
            .try_send()
            .await
    }

    async fn append(&self, offset: usize, bytes: &[u8]) -> Answer {
        self.try_append(offset, bytes).await.expect("an answer")
    }

    /// The server says why, or hangs up on the rest of the body before the answer could be read.
    async fn append_in_vain(&self, offset: usize, bytes: &[u8]) {
        if let Ok(answer) = self.try_append(offset, bytes).await {
            answer.problem(507);
        }
    }

    async fn offset(&self) -> usize {
        let answer = self.person.call(&reqwest::Method::HEAD, &self.location).await;
        answer.expecting(204).required_header("upload-offset").parse().expect("an offset")
    }

    async fn cancel(&self) -> Answer {
        self.person.delete(&self.location).await
    }

    async fn digest(&self, person: &Person) -> String {
        let revision: Value = person.revision(&self.image, 1).await;
        revision["files"][0]["digest"].as_str().expect("the file").to_owned()
    }
}
