//! Three replicas, one of them killed every few seconds and the database stopped at times, under uploads, promotions
//! and checks: nothing acknowledged is lost, no check is answered from an old state, and every check is answered.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::admin_of;
use crate::harness::actions::{assignment_path, file_path};
use crate::harness::bucket::Bucket;
use crate::harness::channel_folder::DOCUMENTS;
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::person::Call;
use crate::harness::server::Server;
use crate::harness::{Answer, Database, Depot, Person, Store, eventually, is_long_run, sample};

/// A check may be answered from a state that is as old.
const STALE: Duration = Duration::from_secs(2);

/// A check is answered as soon, whatever happens to the database.
const PROMPT: Duration = Duration::from_secs(5);

/// Those that get new revisions all the time, and one whose two revisions are promoted in turns.
const GROWING: [&str; 2] = ["growing-1", "growing-2"];
const TURNING: &str = "turning";

#[tokio::test]
async fn three_replicas_lose_nothing_while_one_after_the_other_is_killed() {
    let database = OwnPostgres::start();
    let mut depot = Depot::on(Database::Sqlite)
        .setting("catalog", "url", &database.url())
        .store(Store::S3)
        .setting("tree", "grace", "1s")
        .start()
        .await;
    let mut others = [depot.replica("second").await, depot.replica("third").await];
    let scene = Scene::of([&depot.server, &others[0], &others[1]]);
    scene.prepare(&depot.admin()).await;
    let lasts = Duration::from_secs(if is_long_run() { 300 } else { 25 });
    let [second, third] = &mut others;
    let chaos = scene.kill_and_freeze([&mut depot.server, second, third], &database, lasts);
    let growing = join_all(GROWING.iter().map(|image| scene.grow(image)));
    let checking = join_all((0..3).map(|replica| scene.check(replica)));
    tokio::join!(chaos, growing, scene.turn(), checking);
    scene.tell();
    nothing_acknowledged_is_lost(&scene, &depot.admin()).await;
    for server in [&depot.server, &others[0], &others[1]] {
        the_tree_is_what_the_catalog_says(&admin_of(server), depot.bucket.as_ref().expect("S3"))
            .await;
    }
}

/// What the actors know together.
struct Scene {
    replicas: [Replica; 3],
    /// The epochs that were acknowledged for each image's channel `production`, and when.
    promotions: RefCell<BTreeMap<String, Vec<(Instant, u64)>>>,
    /// The digest of every file that was acknowledged, by path.
    files: RefCell<BTreeMap<String, String>>,
    /// When the database stood still.
    frozen: RefCell<Vec<(Instant, Option<Instant>)>>,
    checks: Cell<u32>,
    checks_while_frozen: Cell<u32>,
    kills: Cell<u32>,
    over: Cell<bool>,
}

/// A replica as its callers see it.
struct Replica {
    url: RefCell<String>,
    runs: Cell<bool>,
    /// How often it was killed.
    lives: Cell<u32>,
}

impl Scene {
    fn of(servers: [&Server; 3]) -> Self {
        let replica = |server: &Server| Replica {
            url: RefCell::new(server.url()),
            runs: Cell::new(true),
            lives: Cell::default(),
        };
        Self {
            replicas: servers.map(replica),
            promotions: RefCell::default(),
            files: RefCell::default(),
            frozen: RefCell::default(),
            checks: Cell::default(),
            checks_while_frozen: Cell::default(),
            kills: Cell::default(),
            over: Cell::default(),
        }
    }

    async fn prepare(&self, admin: &Person) {
        for image in GROWING {
            admin.create_image(image).await;
        }
        admin.create_image(TURNING).await;
        admin.ready_revision(TURNING, 1).await;
        admin.ready_revision(TURNING, 2).await;
    }

    /// Kills one replica after the other and starts it again; at times the database stands still instead.
    async fn kill_and_freeze(
        &self,
        servers: [&mut Server; 3],
        database: &OwnPostgres,
        lasts: Duration,
    ) {
        let end = Instant::now() + lasts;
        for round in 1_u32.. {
            tokio::time::sleep(Duration::from_millis(1000 + sample::random_below(2000))).await;
            if Instant::now() > end && self.kills.get() >= 4 {
                break;
            }
            if round % 5 == 3 {
                self.frozen.borrow_mut().push((Instant::now(), None));
                database.freeze();
                tokio::time::sleep(Duration::from_secs(5)).await;
                database.go_on();
                self.frozen.borrow_mut().last_mut().expect("just put there").1 =
                    Some(Instant::now());
                continue;
            }
            let victim = usize::try_from(sample::random_below(3)).expect("one of three");
            let replica = &self.replicas[victim];
            replica.runs.set(false);
            replica.lives.set(replica.lives.get() + 1);
            servers[victim].kill();
            self.kills.set(self.kills.get() + 1);
            tokio::time::sleep(Duration::from_millis(sample::random_below(1000))).await;
            servers[victim].start_again().await;
            *replica.url.borrow_mut() = servers[victim].url();
            replica.runs.set(true);
        }
        self.over.set(true);
    }

    /// Uploads and promotes new revisions; every request goes to another replica.
    async fn grow(&self, image: &str) {
        while !self.over.get() {
            let path = format!("/api/v1/images/{image}/revisions");
            let draft = self.insist(|person| person.post(&path)).await.expecting(201).json();
            let number = draft["number"].as_u64().expect("a number");
            let seed = sample::random_below(1 << 40);
            self.upload(image, number, &sample::bytes(seed, 2_500_000)).await;
            let index = sample::bytes(seed + 1, 20_000);
            let place = file_path(image, number, "index");
            self.insist(|person| person.put(&place).body(index.clone())).await;
            self.files.borrow_mut().insert(place, sample::digest(&index));
            let seal = format!("{path}/{number}/seal");
            let sealed = self.insist(|person| person.post(&seal)).await;
            // Asked again after a lost answer, it says that it is sealed.
            assert!([200, 409].contains(&sealed.status), "{}", sealed.text());
            self.promote(image, number).await;
        }
    }

    async fn turn(&self) {
        for round in 0.. {
            if self.over.get() {
                return;
            }
            self.promote(TURNING, 1 + round % 2).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn promote(&self, image: &str, revision: u64) {
        let (path, body) = (assignment_path(image, "production"), json!({"revision": revision}));
        let answer = self.insist(|person| person.put(&path).json(&body)).await.expecting(200);
        let epoch = answer.json()["epoch"].as_u64().expect("an epoch");
        let mut promotions = self.promotions.borrow_mut();
        promotions.entry(image.to_owned()).or_default().push((Instant::now(), epoch));
    }

    /// A `.ckm` in pieces, each at another replica.
    async fn upload(&self, image: &str, revision: u64, bytes: &[u8]) {
        let target =
            json!({"image": image, "revision": revision, "role": "ckm", "size": bytes.len()});
        let begun = self.insist(|person| person.post("/api/v1/uploads").json(&target)).await;
        let location = begun.expecting(201).required_header("location").to_owned();
        let mut known = 0;
        loop {
            let head = self.insist(|person| person.call(&reqwest::Method::HEAD, &location)).await;
            let offset =
                head.expecting(204).required_header("upload-offset").parse().expect("a number");
            assert!(offset >= known, "{offset} bytes where {known} were acknowledged");
            known = offset;
            let end = bytes.len().min(offset + 700_000);
            let appended = self
                .insist(|person| {
                    let is_last = if end == bytes.len() { "?1" } else { "?0" };
                    let append =
                        person.patch(&location).header("Upload-Offset", &offset.to_string());
                    let append = append.header("Upload-Complete", is_last);
                    let append = append.header("Content-Type", "application/partial-upload");
                    append.body(bytes[offset..end].to_vec())
                })
                .await;
            if appended.status / 100 == 2 {
                known = end;
            }
            // 409: an append of which the answer was lost has been kept.
            assert!(appended.status / 100 == 2 || appended.status == 409, "{}", appended.text());
            let there = self
                .insist(|person| {
                    person.get(&format!("/api/v1/images/{image}/revisions/{revision}"))
                })
                .await;
            let files = there.expecting(200).json()["files"].clone();
            if let Some(file) =
                files.as_array().expect("files").iter().find(|file| file["role"] == "ckm")
            {
                assert_eq!(file["digest"], sample::digest(bytes));
                let place = file_path(image, revision, "ckm");
                self.files.borrow_mut().insert(place, sample::digest(bytes));
                return;
            }
        }
    }

    /// What some replica answers. One that is killed does not, and while the database stands still it is 503.
    async fn insist(&self, call: impl Fn(&Person) -> Call) -> Answer {
        let began = Instant::now();
        loop {
            let one = usize::try_from(sample::random_below(3)).expect("one of three");
            let url = self.replicas[one].url.borrow().clone();
            let person = Person::new(&url, Some(("admin", crate::harness::depot::ADMIN_PASSWORD)));
            if self.replicas[one].runs.get()
                && let Ok(answer) = call(&person).try_send().await
                && answer.status != 503
            {
                assert!(answer.status < 500, "{} answered {}", answer.question, answer.text());
                return answer;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "nobody answers");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks one replica for updates all the time, as clients do.
    async fn check(&self, replica: usize) {
        let replica = &self.replicas[replica];
        let images = [GROWING[0], GROWING[1], TURNING];
        let mut person: Option<(u32, Person)> = None;
        for round in 0.. {
            if self.over.get() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            let life = replica.lives.get();
            if !replica.runs.get() {
                continue;
            }
            if person.as_ref().is_none_or(|(of, _)| *of != life) {
                person = Some((life, Person::new(&replica.url.borrow(), None)));
            }
            let (_, client) = person.as_ref().expect("just made");
            let (image, began) = (images[round % 3], Instant::now());
            let query = format!("image={image}&channel=production&revision=0&client=pc-{round}");
            let answer = client.get(&format!("/api/v1/update-check?{query}")).try_send().await;
            if replica.lives.get() != life {
                continue;
            }
            let answer = answer.expect("a replica that runs answers every check");
            if answer.status == 404 && self.acknowledged(image, began).is_none() {
                // Nobody was offered it yet.
                continue;
            }
            let answer = answer.expecting(200);
            assert!(began.elapsed() < PROMPT, "a check took {:?}", began.elapsed());
            self.checks.set(self.checks.get() + 1);
            if self.stood_still_since(began.checked_sub(STALE).expect("later than the start")) {
                self.checks_while_frozen.set(self.checks_while_frozen.get() + 1);
                continue;
            }
            let (told, expected) =
                (answer.json()["epoch"].as_u64(), self.acknowledged(image, began));
            assert!(
                told >= expected,
                "{image}: {told:?}, and {expected:?} is old: {}",
                answer.text()
            );
        }
    }

    /// The newest epoch that every replica must know of by then.
    fn acknowledged(&self, image: &str, by: Instant) -> Option<u64> {
        let promotions = self.promotions.borrow();
        let of_image = promotions.get(image)?.iter();
        of_image.filter(|(at, _)| *at + STALE < by).map(|(_, epoch)| *epoch).max()
    }

    fn stood_still_since(&self, time: Instant) -> bool {
        self.frozen.borrow().iter().any(|(_, end)| end.is_none_or(|end| end > time))
    }

    fn tell(&self) {
        let promotions = self.promotions.borrow().values().map(Vec::len).sum::<usize>();
        println!(
            "{} kills, {} checks, {} of them while the database stood still, {promotions} promotions, {} files",
            self.kills.get(),
            self.checks.get(),
            self.checks_while_frozen.get(),
            self.files.borrow().len()
        );
        assert!(self.checks_while_frozen.get() > 100 && promotions > 10);
    }
}

async fn nothing_acknowledged_is_lost(scene: &Scene, admin: &Person) {
    let files = scene.files.borrow().clone();
    for (path, digest) in files {
        let bytes = admin.get(&path).await.expecting(200).body;
        assert_eq!(sample::digest(&bytes), digest, "{path}");
    }
    let promotions = scene.promotions.borrow().clone();
    for (image, acknowledged) in promotions {
        let mut kept = Vec::new();
        let mut next = Some(format!("/api/v1/images/{image}/promotions?limit=500"));
        while let Some(path) = next {
            let page = admin.get(&path).await.expecting(200);
            kept.extend(page.items().iter().map(|promotion| promotion["epoch"].as_u64()));
            let cursor = page.json()["next_cursor"].as_str().map(str::to_owned);
            next = cursor.map(|cursor| {
                format!("/api/v1/images/{image}/promotions?limit=500&cursor={cursor}")
            });
        }
        for (_, epoch) in &acknowledged {
            assert!(kept.contains(&Some(*epoch)), "{image}: epoch {epoch} is lost");
        }
        let newest = acknowledged.iter().map(|(_, epoch)| *epoch).max();
        let assigned = admin.assignment(&image, "production").await["epoch"].as_u64();
        assert!(assigned >= newest, "{image}: {assigned:?} and not {newest:?}");
    }
}

/// The folder of `production` holds the assigned revision of every image and the one before, and nothing else.
async fn the_tree_is_what_the_catalog_says(admin: &Person, bucket: &Bucket) {
    let plan = eventually("the tree has followed", || async {
        let plan = admin.post("/api/v1/publications/reconcile?dry_run=true").await;
        let plan = plan.expecting(200).json();
        plan["steps"].as_array().is_some_and(Vec::is_empty).then_some(plan)
    })
    .await;
    assert_eq!(plan["foreign"], json!([]), "{plan}");
    // The two files of two revisions of each image, and what belongs into the folder of each of the two channels; what was
    // withdrawn last may have to wait for its grace.
    let expected = 3 * 4 + 2 * DOCUMENTS.len();
    let tree = eventually("nothing else stands in the tree", || async {
        let tree = bucket.tree().await;
        (tree.len() == expected).then_some(tree)
    })
    .await;
    let manifest: Value = serde_json::from_slice(&tree["channel.json"]).expect("JSON");
    for image in manifest["images"].as_array().expect("images") {
        let name = image["image"].as_str().expect("a name");
        let assigned = admin.assignment(name, "production").await;
        assert_eq!(
            (&image["revision"], &image["epoch"]),
            (&assigned["revision"], &assigned["epoch"])
        );
        for file in image["files"].as_array().expect("files") {
            let path = file["path"].as_str().expect("a path");
            assert_eq!(file["digest"], sample::digest(&tree[path]), "{path}");
        }
    }
}
