//! Two replicas on one PostgreSQL and one bucket; the second reaches the database by a line that fails, both the bucket by
//! a relay that does.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::expected::Fault;
use crate::harness::actions::file_path;
use crate::harness::bits_client::BitsClient;
use crate::harness::broken_link::BrokenLink;
use crate::harness::bucket::address;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::faulty_store::{self, FaultyStore};
use crate::harness::own_postgres::OwnPostgres;
use crate::harness::postgres::TestDatabase;
use crate::harness::server::Server;
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Database, Depot, Person, Store, eventually, sample};
use crate::tus;

pub const GRACE: Duration = Duration::from_secs(5);

/// Past this, nobody logs in by what a replica knew.
pub const STALE_AFTER: Duration = Duration::from_secs(10);

/// The bytes of a session that were acknowledged before the fault.
pub const BEFORE: usize = 100_000;

pub struct Scene {
    pub fault: Fault,
    pub depot: Depot,
    pub second: Server,
    line: BrokenLink,
    /// The catalog at the other end of the line.
    catalog_url: String,
    store: FaultyStore,
    /// Of tokens: one that is revoked, and one that is not.
    pub tokens: [Token; 2],
    /// Of sessions that were begun at the second replica.
    pub tus: String,
    pub ietf: String,
    pub bits: tokio::sync::Mutex<BitsClient>,
    lock: Option<PgConnection>,
    full: Option<FullDatabase>,
}

pub struct Token {
    pub id: String,
    pub text: String,
}

/// A cluster of its own, because others would not get a checkpoint either while its disk is full.
struct FullDatabase {
    _cluster: OwnPostgres,
    disk: SmallDisk,
    filler: Option<PathBuf>,
}

/// The file that each protocol uploads.
pub fn file() -> Vec<u8> {
    sample::bytes(4711, 300_000)
}

impl Scene {
    pub async fn prepare(fault: Fault) -> Self {
        let store = FaultyStore::before(address()).await;
        let setup = Depot::on(Database::Postgres)
            .store(Store::S3)
            .environment("IMAGEDEPOT__STORE__OPTIONS__ENDPOINT", Some(&store.endpoint()))
            .setting("access", "stale_after", "10s")
            .setting("server", "shutdown_grace", "5s");
        let (full, catalog) = (fault == Fault::DatabaseFull).then(FullDatabase::make).unzip();
        let depot = setup.catalog_in(catalog).start().await;
        let (line, catalog_url) = depot.line_to_catalog().await;
        let second =
            depot.replica_with("second", &[("IMAGEDEPOT__CATALOG__URL", &catalog_url)]).await;
        let admin = depot.admin();
        admin.published_image("win7-office", "production").await;
        admin.ready_revision("win7-office", 2).await;
        for image in ["linux", "by-put", "by-tus", "by-ietf"] {
            admin.create_single_image(image, "img").await;
            admin.draft(image).await;
        }
        admin.put_file("linux", 1, "image", &file()).await.expecting(201);
        admin.seal("linux", 1).await.expecting(200);
        let tokens = [token(&admin, "revoked").await, token(&admin, "kept").await];
        let at_second = Person::new(&second.url(), Some(("admin", ADMIN_PASSWORD)));
        let holder = Person::with_token(&second.url(), &tokens[1].text);
        eventually("the second replica knows all that", async || {
            (holder.get("/api/v1/images/linux").await.status == 200).then_some(())
        })
        .await;
        let tus = begun_by_tus(&at_second).await;
        let ietf = begun_by_the_draft(&at_second).await;
        let mut bits = BitsClient::new(&depot, &admin, "by-bits.ckm").at(second.port());
        bits.create().await.expecting(200);
        bits.part(&file(), 0..BEFORE).await.expecting(200);
        let bits = tokio::sync::Mutex::new(bits);
        Self {
            fault,
            depot,
            second,
            line,
            catalog_url,
            store,
            tokens,
            tus,
            ietf,
            bits,
            lock: None,
            full,
        }
    }

    pub fn at_second(&self) -> Person {
        Person::new(&self.second.url(), Some(("admin", ADMIN_PASSWORD)))
    }

    /// The environment with which commands meet what the second replica meets.
    pub fn environment_of_second(&self) -> Vec<(String, String)> {
        let mut environment = self.depot.environment();
        environment.retain(|(name, _)| name != "IMAGEDEPOT__CATALOG__URL");
        environment.push(("IMAGEDEPOT__CATALOG__URL".to_owned(), self.catalog_url.clone()));
        environment
    }

    /// The fault begins.
    pub async fn begins(&mut self) {
        let catalog = self.depot.catalog();
        match self.fault {
            Fault::DatabaseSilent => self.line.falls_silent(),
            Fault::DatabaseSilentWithinAnswers => self.line.falls_silent_within_answers(),
            Fault::DatabaseResets => self.line.resets(),
            Fault::DatabaseSlow => self.line.is_late_by(Duration::from_millis(50)),
            Fault::DatabaseReadOnly => {
                catalog.run("ALTER DATABASE {} SET default_transaction_read_only = on");
                disconnect_all(catalog);
            }
            Fault::DatabaseFull => {
                let full = self.full.as_mut().expect("a cluster of its own");
                full.filler = Some(full.disk.fill());
                let mut client = PgConnection::connect(&catalog.url()).await.expect("the database");
                let large = "create table filler as select repeat('x', 1000) from generate_series(1, 10000)";
                assert!(client.execute(large).await.is_err(), "there is room for ten megabytes");
            }
            Fault::DatabaseLocked => {
                let mut lock = PgConnection::connect(&catalog.url()).await.expect("the database");
                lock.execute("begin").await.expect("a transaction");
                let lock_table = "lock table catalog_state in access exclusive mode";
                lock.execute(lock_table).await.expect("the lock");
                self.lock = Some(lock);
            }
            Fault::BucketSilent => self.store.fails(faulty_store::Fault::Silent),
            Fault::BucketSlow => self.store.fails(faulty_store::Fault::Slow),
            Fault::BucketRefuses => self.store.fails(faulty_store::Fault::Busy),
            Fault::BucketShortens => self.store.fails(faulty_store::Fault::Shortened),
            Fault::BucketFlips => self.store.fails(faulty_store::Fault::Flipped),
            Fault::BucketLosesAnswers => self.store.fails(faulty_store::Fault::AnswerLost),
            Fault::BucketListsOld => {
                self.store.fails(faulty_store::Fault::StaleListing);
                // Whoever lists now sees the same later.
                let admin = self.depot.admin();
                admin.post("/api/v1/publications/reconcile").await.expecting(200);
                admin.post("/api/v1/gc").await.expecting(200);
            }
        }
    }

    /// The fault is over.
    pub async fn ends(&mut self) {
        assert!(self.store.met() > 0 || !self.fault.is_of_the_bucket(), "nothing met the fault");
        self.line.speaks_again();
        self.store.fails(faulty_store::Fault::Nothing);
        if self.fault == Fault::DatabaseReadOnly {
            // Whoever changes this has to be allowed to change something.
            let reset = "SET transaction_read_only = off; ALTER DATABASE {} RESET default_transaction_read_only";
            self.depot.catalog().run(reset);
        }
        if let Some(filler) = self.full.as_ref().and_then(|full| full.filler.as_ref()) {
            std::fs::remove_file(filler).expect("room again");
        }
        if let Some(lock) = self.lock.take() {
            lock.close().await.expect("the end of the lock");
        }
    }
}

impl FullDatabase {
    fn make() -> (Self, TestDatabase) {
        let (cluster, disk) = (OwnPostgres::start(), SmallDisk::mounted(64));
        let database = cluster.database_on(&disk);
        (Self { _cluster: cluster, disk, filler: None }, database)
    }
}

fn disconnect_all(catalog: &TestDatabase) {
    catalog.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' \
         AND pid <> pg_backend_pid()",
    );
}

async fn token(admin: &Person, name: &str) -> Token {
    let token = json!({"name": name, "roles": ["reader"]});
    let token = admin.post("/api/v1/tokens").json(&token).await.expecting(201).json();
    let text = |field: &str| token[field].as_str().expect("text").to_owned();
    Token { id: text("id"), text: text("token") }
}

async fn begun_by_tus(person: &Person) -> String {
    let metadata = tus::metadata(&[("image", "by-tus"), ("revision", "1"), ("role", "image")]);
    let begun = person
        .post("/api/v1/uploads")
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Metadata", &metadata)
        .header("Upload-Length", &file().len().to_string())
        .await;
    let location = begun.expecting(201).required_header("location").to_owned();
    tus::append(person, &location, "0", &file()[..BEFORE]).await.expecting(204);
    location
}

async fn begun_by_the_draft(person: &Person) -> String {
    let begun = person
        .put(&file_path("by-ietf", 1, "image"))
        .header("Upload-Complete", "?0")
        .header("Upload-Length", &file().len().to_string())
        .body(file()[..BEFORE].to_vec())
        .await;
    begun.expecting(201).required_header("location").to_owned()
}
