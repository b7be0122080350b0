//! The actions of people on images, in the order of an image's life.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Person, eventually, sample};

/// The path of a revision.
pub fn revision_path(image: &str, revision: u64) -> String {
    format!("/api/v1/images/{image}/revisions/{revision}")
}

/// The path of a file of a revision.
pub fn file_path(image: &str, revision: u64, role: &str) -> String {
    format!("{}/files/{role}", revision_path(image, revision))
}

/// The path of what a channel is assigned for an image.
pub fn assignment_path(image: &str, channel: &str) -> String {
    format!("/api/v1/images/{image}/channels/{channel}")
}

impl Person {
    /// A new image of kind `medv`.
    pub async fn create_image(&self, name: &str) {
        let image = json!({"name": name, "kind": "medv"});
        self.post("/api/v1/images").json(&image).await.expecting(201);
    }

    /// A new image of one file.
    pub async fn create_single_image(&self, name: &str, extension: &str) {
        let image = json!({"name": name, "kind": "single", "extension": extension});
        self.post("/api/v1/images").json(&image).await.expecting(201);
    }

    /// A new draft; its number.
    pub async fn draft(&self, image: &str) -> u64 {
        let path = format!("/api/v1/images/{image}/revisions");
        let draft = self.post(&path).await.expecting(201).json();
        draft["number"].as_u64().expect("a draft has a number")
    }

    pub async fn put_file(&self, image: &str, revision: u64, role: &str, bytes: &[u8]) -> Answer {
        self.put(&file_path(image, revision, role)).body(bytes.to_vec()).await
    }

    pub async fn seal(&self, image: &str, revision: u64) -> Answer {
        self.post(&format!("{}/seal", revision_path(image, revision))).await
    }

    pub async fn revoke(&self, image: &str, revision: u64) -> Answer {
        self.post(&format!("{}/revoke", revision_path(image, revision))).await
    }

    pub async fn promote(&self, image: &str, channel: &str, revision: u64) -> Answer {
        let body = json!({"revision": revision});
        self.put(&assignment_path(image, channel)).json(&body).await
    }

    pub async fn roll_back(&self, image: &str, channel: &str) -> Answer {
        self.post(&format!("{}/rollback", assignment_path(image, channel))).await
    }

    pub async fn revision(&self, image: &str, revision: u64) -> Value {
        self.get(&revision_path(image, revision)).await.expecting(200).json()
    }

    pub async fn assignment(&self, image: &str, channel: &str) -> Value {
        self.get(&assignment_path(image, channel)).await.expecting(200).json()
    }

    /// Makes the update check of a client that has `revision`.
    pub async fn check_for_update(
        &self,
        image: &str,
        channel: &str,
        revision: u64,
        client: &str,
    ) -> Answer {
        let query = format!("image={image}&channel={channel}&revision={revision}&client={client}");
        self.get(&format!("/api/v1/update-check?{query}")).await
    }

    /// A file of the tree; the path is relative to `/MEDVImages/`.
    pub async fn get_tree(&self, path: &str) -> Answer {
        self.get(&format!("/MEDVImages/{path}")).await
    }

    /// Waits until the physical tree has followed a promotion.
    pub async fn wait_until_published(&self, image: &str, channel: &str) {
        eventually("the assignment's files are published", || async {
            (self.assignment(image, channel).await["publication"] == "published").then_some(())
        })
        .await;
    }

    /// Waits until nothing is left to do in the tree. A document that was written in the current second is written again
    /// in the next one at the earliest, and until then no plan names it.
    pub async fn wait_until_the_tree_is_complete(&self) {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        eventually("the tree is complete", || async {
            let plan = self.post("/api/v1/publications/reconcile?dry_run=true").await;
            (plan.expecting(200).json()["steps"] == json!([])).then_some(())
        })
        .await;
    }

    /// A sealed revision of an image of kind `medv`, its two files made from `seed`.
    pub async fn ready_revision(&self, image: &str, seed: u64) -> u64 {
        let revision = self.draft(image).await;
        self.put_file(image, revision, "ckm", &ckm(seed)).await.expecting(201);
        self.put_file(image, revision, "index", &index(seed)).await.expecting(201);
        self.seal(image, revision).await.expecting(200);
        revision
    }

    /// A new image of one file, promoted to production.
    pub async fn publish_single(&self, image: &str, extension: &str, bytes: &[u8]) {
        self.create_single_image(image, extension).await;
        let revision = self.draft(image).await;
        self.put_file(image, revision, "image", bytes).await.expecting(201);
        self.seal(image, revision).await.expecting(200);
        self.promote(image, "production", revision).await.expecting(200);
    }

    /// A new image with one sealed revision that is promoted to `channel` and published.
    pub async fn published_image(&self, image: &str, channel: &str) -> u64 {
        self.create_image(image).await;
        let revision = self.ready_revision(image, 1).await;
        self.promote(image, channel, revision).await.expecting(200);
        self.wait_until_published(image, channel).await;
        revision
    }
}

/// The `.ckm` of [`Person::ready_revision`]: 300,000 bytes.
pub fn ckm(seed: u64) -> Vec<u8> {
    sample::bytes(seed, 300_000)
}

/// The `.ckm.index` of [`Person::ready_revision`]: 4,000 bytes.
pub fn index(seed: u64) -> Vec<u8> {
    sample::bytes(seed ^ 0xffff_0000, 4_000)
}
