//! Three replicas, one of them killed every few seconds, under uploads, promotions, checks and log-ins. At times the
//! database stands still, or one replica's line to it falls silent, or the bucket fails: nothing acknowledged is lost, no
//! check is answered from an old state where the database answers, every check is answered, and nobody logs in by what a
//! replica knew too long ago.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::admin_of;
use crate::harness::actions::{assignment_path, file_path};
use crate::harness::broken_link::{self as line, BrokenLink};
use crate::harness::bucket::{Bucket, address};
use crate::harness::channel_folder::DOCUMENTS;
use crate::harness::faulty_store::FaultyStore;
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::person::Call;
use crate::harness::server::Server;
use crate::harness::{Answer, Database, Depot, Person, Store, eventually, is_long_run, sample};

/// A check may be answered from a state that is as old.
const STALE: Duration = Duration::from_secs(2);

/// A check is answered as soon, whatever happens to the database.
const PROMPT: Duration = Duration::from_secs(5);

/// Nobody logs in at a replica that has not heard from the database for as long.
const STALE_AFTER: Duration = Duration::from_secs(8);

/// The replica whose line to the database fails.
const BEHIND_THE_LINE: usize = 2;

/// Those that get new revisions all the time, and one whose two revisions are promoted in turns.
const GROWING: [&str; 2] = ["growing-1", "growing-2"];
const TURNING: &str = "turning";

#[tokio::test]
async fn three_replicas_lose_nothing_while_one_after_the_other_is_killed() {
    let database = OwnPostgres::start();
    let store = FaultyStore::before(address()).await;
    let line = BrokenLink::to(database.port(), line::Fault::Nothing).await;
    let mut depot = Depot::on(Database::Sqlite)
        .setting("catalog", "url", &database.url())
        .store(Store::S3)
        .environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&store.endpoint()))
        .setting("tree", "grace", "1s")
        .setting("access", "stale_after", "8s")
        .start()
        .await;
    let by_line = format!("postgres://postgres@127.0.0.1:{}/postgres", line.port());
    let third = depot.replica_with("third", &[("IMAGEDEPOT__CATALOG__URL", &by_line)]).await;
    let mut others = [depot.replica("second").await, third];
    let scene = Scene::of([&depot.server, &others[0], &others[1]]);
    scene.prepare(&depot.admin()).await;
    let lasts = Duration::from_secs(if is_long_run() { 1800 } else { 40 });
    let [second, third] = &mut others;
    let outside = Outside { database, line, store };
    let chaos = scene.do_harm([&mut depot.server, second, third], &outside, lasts);
    let growing = join_all(GROWING.iter().map(|image| scene.grow(image)));
    let checking = join_all((0..3).map(|replica| scene.check(replica)));
    let logging_in = join_all((0..3).map(|replica| scene.log_in(replica)));
    tokio::join!(chaos, growing, scene.turn(), checking, logging_in);
    scene.tell();
    nothing_acknowledged_is_lost(&scene, &depot.admin()).await;
    for server in [&depot.server, &others[0], &others[1]] {
        the_tree_is_what_the_catalog_says(&admin_of(server), depot.bucket.as_ref().expect("S3"))
            .await;
    }
}

/// What the replicas depend on.
struct Outside {
    database: OwnPostgres,
    line: BrokenLink,
    store: FaultyStore,
}

/// A time span; it has no end while it lasts.
type Span = (Instant, Option<Instant>);

/// What the actors know together.
struct Scene {
    replicas: [Replica; 3],
    /// The epochs that were acknowledged for each image's channel `production`, and when.
    promotions: RefCell<BTreeMap<String, Vec<(Instant, u64)>>>,
    /// The digest of every file that was acknowledged, by path.
    files: RefCell<BTreeMap<String, String>>,
    /// When the database stood still.
    frozen: RefCell<Vec<Span>>,
    /// When the line to it was silent.
    silent: RefCell<Vec<Span>>,
    /// How often the bucket failed.
    bucket_faults: Cell<u32>,
    /// A token, and how often it was taken and refused for a state that is too old.
    token: RefCell<String>,
    log_ins: Cell<u32>,
    stale_log_ins: Cell<u32>,
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
            silent: RefCell::default(),
            bucket_faults: Cell::default(),
            token: RefCell::default(),
            log_ins: Cell::default(),
            stale_log_ins: Cell::default(),
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
        let token = json!({"name": "log-in", "roles": ["reader"]});
        let token = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
        token["token"].as_str().expect("a token").clone_into(&mut self.token.borrow_mut());
    }

    /// Kills one replica after the other and starts it again; at times something else fails.
    async fn do_harm(&self, mut servers: [&mut Server; 3], outside: &Outside, lasts: Duration) {
        let end = Instant::now() + lasts;
        for round in 0_u32.. {
            tokio::time::sleep(Duration::from_millis(1000 + sample::random_below(2000))).await;
            if Instant::now() > end && self.kills.get() >= 4 {
                break;
            }
            match round % 6 {
                1 => {
                    let _span = Lasting::begin(&self.frozen);
                    outside.database.freeze();
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    outside.database.go_on();
                }
                3 => {
                    let _span = Lasting::begin(&self.silent);
                    outside.line.falls_silent();
                    tokio::time::sleep(STALE_AFTER + Duration::from_secs(4)).await;
                    outside.line.speaks_again();
                }
                5 => self.let_the_bucket_fail(&outside.store).await,
                _ => self.kill_one_of(&mut servers).await,
            }
        }
        self.over.set(true);
    }

    async fn let_the_bucket_fail(&self, store: &FaultyStore) {
        use crate::harness::faulty_store::Fault;
        let faults =
            [Fault::Silent, Fault::Busy, Fault::Slow, Fault::AnswerLost, Fault::StaleListing];
        let which = self.bucket_faults.get() as usize % faults.len();
        self.bucket_faults.set(self.bucket_faults.get() + 1);
        store.fails(faults[which]);
        tokio::time::sleep(Duration::from_secs(4)).await;
        store.fails(Fault::Nothing);
    }

    async fn kill_one_of(&self, servers: &mut [&mut Server; 3]) {
        let victim = usize::try_from(sample::random_below(3)).expect("one of three");
        let (replica, server) = (&self.replicas[victim], &mut servers[victim]);
        replica.runs.set(false);
        replica.lives.set(replica.lives.get() + 1);
        server.kill();
        self.kills.set(self.kills.get() + 1);
        tokio::time::sleep(Duration::from_millis(sample::random_below(1000))).await;
        server.start_again().await;
        *replica.url.borrow_mut() = server.url();
        replica.runs.set(true);
    }

    /// Logs in by a token all the time, and is refused where a replica may know too little.
    async fn log_in(&self, replica: usize) {
        let of = &self.replicas[replica];
        while !self.over.get() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if !of.runs.get() {
                continue;
            }
            let (life, asked) = (of.lives.get(), Instant::now());
            let holder = Person::with_token(&of.url.borrow(), &self.token.borrow());
            let answer = holder.get("/api/v1/whoami").try_send().await;
            if of.lives.get() != life {
                continue;
            }
            let answer = answer.expect("a replica that runs answers");
            let is_too_old = |spans: &RefCell<Vec<Span>>| {
                // A look at the database that began before may have ended a little later.
                let since = asked.checked_sub(STALE_AFTER + Duration::from_secs(2));
                spans.borrow().iter().any(|(start, end)| {
                    since.is_some_and(|since| *start < since) && end.is_none_or(|end| end > asked)
                })
            };
            let silent = replica == BEHIND_THE_LINE && is_too_old(&self.silent);
            match answer.status {
                200 => assert!(!silent && !is_too_old(&self.frozen), "logged in by an old state"),
                _ => assert_eq!(answer.problem(503), "logins_stale"),
            }
            let counter = if answer.status == 200 { &self.log_ins } else { &self.stale_log_ins };
            counter.set(counter.get() + 1);
        }
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
            // Where the bucket fails in the middle of it, the answer may be that it is to be sent again.
            while self.insist(|person| person.put(&place).body(index.clone())).await.status / 100
                != 2
            {}
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
    async fn check(&self, number: usize) {
        let replica = &self.replicas[number];
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
            let since = began.checked_sub(STALE).expect("later than the start");
            let silent = number == BEHIND_THE_LINE && lasted_since(&self.silent, since);
            let may_be_old = silent || lasted_since(&self.frozen, since);
            if answer.status == 404 && (may_be_old || self.acknowledged(image, began).is_none()) {
                // Nobody was offered it yet.
                continue;
            }
            let answer = answer.expecting(200);
            assert!(began.elapsed() < PROMPT, "a check took {:?}", began.elapsed());
            self.checks.set(self.checks.get() + 1);
            if may_be_old {
                self.checks_while_frozen.set(self.checks_while_frozen.get() + 1);
                continue;
            }
            let (told, expected) =
                (answer.json()["epoch"].as_u64(), self.acknowledged(image, began));
            assert!(
                told >= expected,
                "{image} at replica {number}, {:?} after the database went on: {told:?}, and {expected:?} is old: {}",
                self.frozen.borrow().last().and_then(|(_, end)| *end).map(|end| began - end),
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

    fn tell(&self) {
        let promotions = self.promotions.borrow().values().map(Vec::len).sum::<usize>();
        println!(
            "{} kills, {} silences, {} faults of the bucket, {} log-ins, {} refused as stale, {} checks, {} of them while \
             the database did not answer, {promotions} promotions, {} files",
            self.kills.get(),
            self.silent.borrow().len(),
            self.bucket_faults.get(),
            self.log_ins.get(),
            self.stale_log_ins.get(),
            self.checks.get(),
            self.checks_while_frozen.get(),
            self.files.borrow().len()
        );
        assert!(self.checks_while_frozen.get() > 100 && promotions > 10);
        assert!(self.log_ins.get() > 100 && self.stale_log_ins.get() > 10);
    }
}

/// A span that ends when this is dropped.
struct Lasting<'a>(&'a RefCell<Vec<Span>>);

impl<'a> Lasting<'a> {
    fn begin(spans: &'a RefCell<Vec<Span>>) -> Self {
        spans.borrow_mut().push((Instant::now(), None));
        Self(spans)
    }
}

impl Drop for Lasting<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().last_mut().expect("begun").1 = Some(Instant::now());
    }
}

fn lasted_since(spans: &RefCell<Vec<Span>>, time: Instant) -> bool {
    spans.borrow().iter().any(|(_, end)| end.is_none_or(|end| end > time))
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
