//! A server with its data folder and its catalog: where most tests begin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::broken_link::{BrokenLink, Fault};
use super::bucket::Bucket;
use super::command::{imagedepot, kill_after, run};
use super::folder::{files_below, published_below};
use super::postgres::TestDatabase;
use super::server::{Server, ServerSetup};
use super::{Database, Person, Store, eventually};

/// The password of `admin` in each test.
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";

/// A running server, its data folder, and the people who use it.
pub struct Depot {
    /// Dropped first: the process must be gone before its folder and its database are.
    pub server: Server,
    environment: Vec<(String, String)>,
    folder: Option<TempDir>,
    /// The bucket that contains blobs and tree, unless they are in folders.
    pub bucket: Option<Bucket>,
    catalog: Option<TestDatabase>,
}

/// The configuration with which a depot starts.
pub struct DepotSetup {
    database: Database,
    store: Store,
    environment: Vec<(String, String)>,
    settings_file: Option<String>,
    data: Option<PathBuf>,
    /// The catalog's database, if it is not one of the cluster of all tests.
    catalog: Option<TestDatabase>,
    /// Commands to run before the server.
    first: Vec<(Vec<String>, Ends)>,
}

/// The expected end of a command.
enum Ends {
    Well,
    /// With these words.
    Failing(String),
    /// Killed after so many milliseconds.
    Killed(u64),
}

impl Depot {
    /// Begins to set up a depot whose catalog lies in `database`.
    pub fn on(database: Database) -> DepotSetup {
        let environment = [
            ("IMAGEDEPOT_ADMIN_PASSWORD", ADMIN_PASSWORD),
            // Many tests count files, bytes and changes, among which chunk lists would appear at any moment.
            ("IMAGEDEPOT__DELTA__CHUNKS", "false"),
        ];
        let environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let store = Store::Folder;
        DepotSetup {
            database,
            store,
            environment,
            settings_file: None,
            data: None,
            catalog: None,
            first: Vec::new(),
        }
    }

    /// A depot with the settings that nobody has touched, but without chunk lists and deltas.
    pub async fn start(database: Database) -> Self {
        Self::on(database).start().await
    }

    pub fn anonymous(&self) -> Person {
        Person::new(&self.server.url(), None)
    }

    pub fn admin(&self) -> Person {
        self.user("admin", ADMIN_PASSWORD)
    }

    pub fn user(&self, name: &str, password: &str) -> Person {
        Person::new(&self.server.url(), Some((name, password)))
    }

    /// The holder of a token.
    pub fn bearer(&self, token: &str) -> Person {
        Person::with_token(&self.server.url(), token)
    }

    /// Another server on the same catalog, with a data folder of its own.
    pub async fn replica(&self, name: &str) -> Server {
        let mut environment = self.environment();
        if !environment.iter().any(|(name, _)| name == "IMAGEDEPOT__CATALOG__URL") {
            let catalog = self.server.data().join("catalog.sqlite");
            let url = format!("sqlite:{}", catalog.display());
            environment.push(("IMAGEDEPOT__CATALOG__URL".to_owned(), url));
        }
        self.replica_in(name, environment).await
    }

    /// The same, with some variables of its environment set otherwise.
    pub async fn replica_with(&self, name: &str, changes: &[(&str, &str)]) -> Server {
        let mut environment = self.environment();
        environment.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        environment.extend(changes);
        self.replica_in(name, environment).await
    }

    /// A line to the database, and the URL of the catalog at its other end.
    pub async fn line_to_catalog(&self) -> (BrokenLink, String) {
        let url = self.catalog().url();
        let (head, database) = url.rsplit_once('/').expect("a database");
        let (user, port) = head.rsplit_once(':').expect("a port");
        let line = BrokenLink::to(port.parse().expect("a number"), Fault::Nothing).await;
        let url = format!("{user}:{}/{database}", line.port());
        (line, url)
    }

    /// The database of the catalog, in PostgreSQL.
    pub fn catalog(&self) -> &TestDatabase {
        self.catalog.as_ref().expect("a catalog in PostgreSQL")
    }

    async fn replica_in(&self, name: &str, environment: Vec<(String, String)>) -> Server {
        Server::start(ServerSetup {
            data: self.scratch().join(name),
            log: self.scratch().join(format!("{name}.log")),
            environment,
            arguments: Vec::new(),
        })
        .await
    }

    /// A new user who holds `role` on all images; the role is the name.
    pub async fn user_with_role(&self, role: &str) -> Person {
        let password = format!("password of the {role}");
        let user = serde_json::json!({"name": role, "password": password, "roles": [role]});
        self.admin().post("/api/v1/users").json(&user).await.expecting(201);
        self.user(role, &password)
    }

    /// The server's environment: commands that open its catalog need the same.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The folder with the physical tree.
    pub fn tree(&self) -> PathBuf {
        self.server.data().join("MEDVImages")
    }

    /// The paths of all that is published, without what is signed about it.
    pub async fn tree_names(&self) -> Vec<String> {
        match &self.bucket {
            Some(bucket) => bucket.names("MEDVImages").await,
            None => published_below(&self.tree()).into_keys().collect(),
        }
    }

    /// The database is gone, and another one is there, empty. The server is to be stopped before.
    pub fn lose_catalog(&self) {
        match &self.catalog {
            Some(catalog) => catalog.empty(),
            None => {
                for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
                    let _none = std::fs::remove_file(self.server.data().join(name));
                }
            }
        }
    }

    /// A folder for the test's own files, on the same disk as the data.
    pub fn scratch(&self) -> &Path {
        self.folder.as_ref().expect("kept until the end").path()
    }

    /// The files that hold bytes of images, by path. The data folder's own files (the catalog, its
    /// journal, the first password) lie at its top; what lies deeper, the tree apart, is blobs and
    /// whatever was left over on the way to becoming one; but for the note of whose they are.
    pub fn stored_files(&self) -> BTreeSet<String> {
        let is_blob = |path: &String| {
            path.contains('/')
                && !path.starts_with("MEDVImages/")
                && path != "blobs/imagedepot-catalog"
        };
        files_below(self.server.data()).into_keys().filter(is_blob).collect()
    }

    /// Waits until exactly so many files are stored: what was replaced, refused or deleted goes in
    /// the background.
    pub async fn comes_to_store(&self, files: usize) {
        eventually(&format!("the data folder holds {files} files of images"), || async {
            (self.stored_files().len() == files).then_some(())
        })
        .await;
    }
}

impl DepotSetup {
    /// A setting by section and key, such as `("tree", "grace", "1s")`.
    pub fn setting(mut self, section: &str, key: &str, value: &str) -> Self {
        let name = format!("IMAGEDEPOT__{}__{}", section.to_uppercase(), key.to_uppercase());
        self.environment.push((name, value.to_owned()));
        self
    }

    /// An environment variable of the server, `None` to take one away.
    pub fn environment(mut self, name: &str, value: Option<&str>) -> Self {
        self.environment.retain(|(existing, _)| existing != name);
        if let Some(value) = value {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the place of blobs and tree.
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// A file of settings, given with `--config`.
    pub fn settings_file(mut self, text: &str) -> Self {
        self.settings_file = Some(text.to_owned());
        self
    }

    /// A command that is run before the server is started, on the same catalog.
    pub fn after(self, arguments: &[&str]) -> Self {
        self.first(arguments, Ends::Well)
    }

    /// The same for one that does part of its work, and fails with these words.
    pub fn after_failing(self, arguments: &[&str], words: &str) -> Self {
        self.first(arguments, Ends::Failing(words.to_owned()))
    }

    /// The same for one that is killed.
    pub fn after_killing(self, arguments: &[&str], milliseconds: u64) -> Self {
        self.first(arguments, Ends::Killed(milliseconds))
    }

    fn first(mut self, arguments: &[&str], ends: Ends) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.first.push((arguments, ends));
        self
    }

    /// Keeps the catalog in this database.
    pub fn catalog_in(mut self, database: Option<TestDatabase>) -> Self {
        self.catalog = database;
        self
    }

    /// The data folder lies on another disk.
    pub fn data_on(mut self, disk: &Path) -> Self {
        self.data = Some(disk.join("data"));
        self
    }

    pub async fn start(mut self) -> Depot {
        let folder = tempfile::Builder::new()
            .prefix("depot-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder for the test");
        let catalog = match self.database {
            Database::Sqlite => None,
            Database::Postgres => Some(self.catalog.take().unwrap_or_else(TestDatabase::create)),
        };
        if let Some(catalog) = &catalog {
            self = self.setting("catalog", "url", &catalog.url());
        }
        let bucket = match self.store {
            Store::Folder => None,
            Store::S3 => Some(Bucket::in_s3().await),
            Store::Azure => Some(Bucket::in_azure(folder.path()).await),
        };
        // First: a test may set some of it otherwise.
        let of_bucket = bucket.iter().flat_map(|bucket| bucket.environment.clone());
        self.environment = of_bucket.chain(self.environment).collect();
        let mut arguments = Vec::new();
        if let Some(text) = &self.settings_file {
            let path = folder.path().join("imagedepot.toml");
            std::fs::write(&path, text).expect("write the settings");
            arguments.extend(["--config".to_owned(), path.display().to_string()]);
        }
        let data = self.data.unwrap_or_else(|| folder.path().join("data"));
        for (command, ends) in &self.first {
            let mut first = imagedepot([]);
            first.args(command).arg("--data").arg(&data).envs(self.environment.iter().cloned());
            match ends {
                Ends::Well => drop(run(first).await.successful()),
                Ends::Failing(words) => {
                    let done = run(first).await;
                    assert!(done.code == 1 && done.stderr.contains(words), "{}", done.stderr);
                }
                // One that was faster has done what those after it are to do.
                Ends::Killed(milliseconds) if kill_after(first, *milliseconds).await => break,
                Ends::Killed(_) => {}
            }
        }
        let server = Server::start(ServerSetup {
            data,
            log: folder.path().join("server.log"),
            environment: self.environment.clone(),
            arguments,
        })
        .await;
        let environment = self.environment;
        Depot { server, environment, folder: Some(folder), bucket, catalog }
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the test's files stay in {}", folder.keep().display());
        }
    }
}
