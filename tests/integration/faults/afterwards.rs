//! What holds once a fault is over: a replica does everything again, and has all that was acknowledged.

use reqwest::Method;
use serde_json::json;

use super::scene::{BEFORE, Scene, file};
use crate::harness::actions::{ckm, file_path};
use crate::harness::command::{imagedepot, run};
use crate::harness::{Person, eventually};
use crate::{resumable, tus};

pub async fn everything_works(scene: &Scene) {
    let admin = scene.at_second();
    eventually("changes are taken", async || {
        (admin.post("/api/v1/scrub").await.status == 202).then_some(())
    })
    .await;
    // Whatever changed on the way from the bucket is as it was.
    nothing_is_damaged(&admin).await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    uploads_end(scene, &admin).await;
    admin.promote("linux", "production", 1).await.expecting(200);
    for image in ["win7-office", "linux"] {
        admin.wait_until_published(image, "production").await;
    }
    let anyone = Person::new(&scene.second.url(), None);
    assert!(anyone.get_tree("win7-office_2.ckm").await.expecting(200).body == ckm(2));
    assert!(anyone.get_tree("linux_1.img").await.expecting(200).body == file());
    let token = format!("/api/v1/tokens/{}", scene.tokens[0].id);
    let revoked = admin.delete(&token).await;
    assert!(revoked.status < 500, "{}", revoked.text());
    let holder = Person::with_token(&scene.second.url(), &scene.tokens[0].text);
    eventually("the revoked token is known", async || {
        (holder.get("/api/v1/images").await.status == 401).then_some(())
    })
    .await;
    admin.post("/api/v1/gc").await.expecting(200);
    nothing_is_damaged(&admin).await;
    let mut backup = imagedepot(["backup", "--to"]);
    backup.arg(scene.depot.scratch().join("backup"));
    backup.arg("--data").arg(scene.second.data()).envs(scene.environment_of_second());
    run(backup).await.successful();
    eventually("nothing is degraded", async || {
        let ready = anyone.get("/readyz").await;
        (ready.status == 200 && ready.json()["degraded"] == json!([])).then_some(())
    })
    .await;
}

async fn uploads_end(scene: &Scene, admin: &Person) {
    // What was read back changed, and was not a part of its own yet, is asked for again.
    let kept = if scene.fault.changes_bytes() { 0 } else { BEFORE };
    let put = admin.put(&file_path("by-put", 1, "image")).body(file()).await;
    assert!([200, 201].contains(&put.status), "{}", put.text());
    if admin.revision("by-tus", 1).await["files"] == json!([]) {
        let offset = usize::try_from(tus::offset(admin, &scene.tus).await).expect("an offset");
        assert!(offset >= kept, "{offset} bytes where {kept} were kept");
        let rest = &file()[offset..];
        tus::append(admin, &scene.tus, &offset.to_string(), rest).await.expecting(204);
    }
    if admin.revision("by-ietf", 1).await["files"] == json!([]) {
        let head = admin.call(&Method::HEAD, &scene.ietf).await.expecting(204);
        let offset: usize = head.required_header("upload-offset").parse().expect("an offset");
        assert!(offset >= kept, "{offset} bytes where {kept} were kept");
        let rest = &file()[offset..];
        let last = resumable::append(admin, &scene.ietf, &offset.to_string(), "?1", rest).await;
        assert_eq!(last.status / 100, 2, "{}", last.text());
    }
    let mut bits = scene.bits.lock().await;
    let sessions = bits.upload_rest(&file(), kept, 100_000).await.sessions;
    assert_eq!(sessions, 0, "the session of before goes on");
    for (image, role) in
        [("by-put", "image"), ("by-tus", "image"), ("by-ietf", "image"), ("by-bits", "ckm")]
    {
        let there = admin.get(&file_path(image, 1, role)).await.expecting(200);
        assert!(there.body == file(), "{image}: other bytes than were sent");
    }
}

async fn nothing_is_damaged(admin: &Person) {
    admin.post("/api/v1/scrub").await.expecting(202);
    let read = eventually("everything is read", async || {
        let status = admin.get("/api/v1/scrub").await.expecting(200).json();
        (status["wanted"] == 0).then_some(status)
    })
    .await;
    assert_eq!(read["damaged"], json!([]), "{read}");
}
