//! A mirror on demand: what a site's machines get from it, and what it costs the line to the depot.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Office, promote_next, sent_bytes};
use crate::harness::actions::{ckm, index};
use crate::harness::authority::Authority;
use crate::harness::command::{curl, ends_well, guarded, imagedepot, run, without_own_settings};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::person::Person;
use crate::harness::project::program;
use crate::harness::server::free_port;
use crate::harness::static_site::StaticSite;
use crate::harness::{Database, Depot, eventually, sample};
use crate::trust::{Machine, wait_until_signed};

/// A mirror on demand, and a machine of its site.
struct Site {
    process: Option<Child>,
    port: u16,
    folder: PathBuf,
    state: PathBuf,
    log: PathBuf,
    machine: Machine,
    /// The arguments and the environment.
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Site {
    /// A mirror of the depot's tree, which has its credentials.
    async fn start(depot: &Depot, arguments: &[&str]) -> Self {
        Self::start_with(depot, arguments, of(depot)).await
    }

    async fn start_with(
        depot: &Depot,
        arguments: &[&str],
        environment: Vec<(String, String)>,
    ) -> Self {
        let site = Self::start_plain(depot, arguments, environment).await;
        site.answers().await;
        site
    }

    /// The same without waiting for its first answer.
    async fn start_plain(
        depot: &Depot,
        arguments: &[&str],
        environment: Vec<(String, String)>,
    ) -> Self {
        let place = |name: &str| depot.scratch().join(name);
        let mut site = Self {
            process: None,
            port: free_port(),
            folder: place("site"),
            state: place("site-state"),
            log: place("site.log"),
            machine: Machine::new(depot, "machine").await,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment,
        };
        site.start_again();
        site
    }

    fn start_again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log);
        let log = log.expect("a log");
        let mut command = guarded(program());
        command.args(["mirror", "--on-demand", "--look-every", "1s", "--to"]).arg(&self.folder);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port), "--trust"]);
        command.arg(self.machine.path("root.json")).args(&self.arguments);
        without_own_settings(&mut command);
        command.env("IMAGEDEPOT_STATE_DIR", &self.state).envs(self.environment.iter().cloned());
        let command = command.stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("start the mirror"));
    }

    /// Waits until it has metadata.
    async fn answers(&self) {
        eventually("the mirror answers", || async {
            let answer = reqwest::get(self.url("tuf/timestamp.json")).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("kill it");
        process.wait().expect("its end");
    }

    fn tree(&self) -> String {
        format!("http://127.0.0.1:{}/MEDVImages", self.port)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.tree())
    }

    /// Somebody who asks the mirror.
    fn visitor(&self) -> Person {
        Person::new(&format!("http://127.0.0.1:{}", self.port), None)
    }

    /// The file of the mirror for a content.
    fn kept(&self, bytes: &[u8]) -> PathBuf {
        let digest = sample::digest(bytes);
        self.folder.join("files").join(digest.trim_start_matches("sha256:"))
    }
}

/// The environment of a mirror of the depot.
fn of(depot: &Depot) -> Vec<(String, String)> {
    let environment = [
        ("IMAGEDEPOT_URL", depot.server.url()),
        ("IMAGEDEPOT_USER", "admin".to_owned()),
        ("IMAGEDEPOT_PASSWORD", ADMIN_PASSWORD.to_owned()),
    ];
    environment.map(|(name, value)| (name.to_owned(), value)).into()
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// A depot with an image of one file, which sends so much in a second.
async fn depot_of_one(bytes: &[u8], bandwidth: &str) -> Depot {
    let depot = Depot::on(Database::Sqlite).setting("tree", "bandwidth", bandwidth).start().await;
    depot.admin().publish_single("win7", "vhdx", bytes).await;
    wait_until_signed(&depot, "win7_1.vhdx").await;
    depot
}

#[tokio::test]
async fn fifty_machines_at_once_cost_the_line_one_image() {
    let bytes = sample::bytes(1, 16 << 20);
    let depot = depot_of_one(&bytes, "8 MB").await;
    let site = Site::start(&depot, &[]).await;
    let before = sent_bytes(&depot.admin()).await;
    let expected = sample::digest(&bytes);
    let machines = (0..50).map(|_| async {
        let got = reqwest::get(site.url("win7_1.vhdx")).await.expect("an answer");
        assert_eq!(got.status(), 200);
        sample::digest(&got.bytes().await.expect("the whole file"))
    });
    for digest in join_all(machines).await {
        assert_eq!(digest, expected);
    }
    let sent = sent_bytes(&depot.admin()).await - before;
    let limit = bytes.len() as u64 * 105 / 100;
    assert!(sent <= limit, "{sent} bytes over the line; {limit} are allowed");
}

#[tokio::test]
async fn ranges_are_answered_while_the_file_arrives() {
    let bytes = sample::bytes(1, 8 << 20);
    let depot = depot_of_one(&bytes, "2 MB").await;
    let site = Site::start(&depot, &[]).await;
    let visitor = site.visitor();
    let began = Instant::now();
    // Somebody begins, and leaves.
    let head = visitor.get("/MEDVImages/win7_1.vhdx").begun().await;
    let part = |range: &str| visitor.get("/MEDVImages/win7_1.vhdx").header("Range", range);
    let first = part("bytes=0-99").await.expecting(206);
    assert!(first.body[..] == bytes[..100]);
    assert!(!site.kept(&bytes).exists(), "the range came before the file was whole");
    let last = part("bytes=-100").await.expecting(206);
    assert!(last.body[..] == bytes[bytes.len() - 100..]);
    assert!(site.kept(&bytes).exists() && began.elapsed() > Duration::from_secs(2));
    let length = bytes.len();
    assert_eq!(
        last.required_header("content-range"),
        format!("bytes {}-{}/{length}", length - 100, length - 1)
    );

    // What was begun at the depot goes on here: the headers are the same.
    let there = depot.anonymous().get("/MEDVImages/win7_1.vhdx").header("Range", "bytes=0-9").await;
    for name in
        ["etag", "last-modified", "cache-control", "accept-ranges", "repr-digest", "content-type"]
    {
        assert_eq!(first.required_header(name), there.required_header(name), "{name}");
        assert_eq!(head.required_header(name), there.required_header(name), "{name}");
    }
    let etag = there.required_header("etag");
    part("bytes=5-9").header("If-Range", etag).await.expecting(206);
    part("bytes=5-9").header("If-Range", "\"other\"").await.expecting(200);
    part("bytes=0-1,5-9").await.expecting(200);
    let refused = part(&format!("bytes={length}-")).await;
    refused.problem(416);
    assert_eq!(refused.required_header("content-range"), format!("bytes */{length}"));
    visitor.get("/MEDVImages/win7_1.vhdx").header("If-None-Match", etag).await.expecting(304);
    let head = visitor.call(&reqwest::Method::HEAD, "/MEDVImages/win7_1.vhdx").await.expecting(200);
    assert_eq!(head.required_header("content-length"), length.to_string());
}

#[tokio::test]
async fn nothing_but_the_tree_is_served() {
    let depot = depot_of_one(b"bytes", "8 MB").await;
    let site = Site::start(&depot, &[]).await;
    let visitor = site.visitor();
    for path in [
        "/",
        "/MEDVImages",
        "/MEDVImages/",
        "/MEDVImages/none.ckm",
        "/MEDVImages/tuf/9.root.json",
        "/MEDVImages/tuf/x",
        "/MEDVImages/..%2fsite.log",
        "/MEDVImages/.mirror.json",
        "/api/v1/images",
        "/MEDVImages/files/x",
        "/MEDVImages/%ff",
    ] {
        let refused = visitor.get(path).await;
        refused.problem(404);
        assert_eq!(refused.required_header("cache-control"), "no-store", "{path}");
    }
    let refused = visitor.post("/MEDVImages/win7_1.vhdx").await;
    refused.problem(405);
    assert_eq!(refused.required_header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn a_site_goes_on_while_the_depot_is_away() {
    let mut depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    depot.admin().publish_single("other", "img", b"not asked for").await;
    wait_until_signed(&depot, "other_1.img").await;
    let mut site = Site::start(&depot, &[]).await;
    eventually("it has seen the second image", || async {
        (site.visitor().call(&reqwest::Method::HEAD, "/MEDVImages/other_1.img").await.status == 200)
            .then_some(())
    })
    .await;
    let tree = site.tree();
    site.machine.pull(&tree).await.successful();
    site.machine.fetch_with_python(&tree, "win7-office_1.ckm.index").await.successful();
    site.machine.fetch_with_tough(&tree, "win7-office_1.ckm").await.successful();

    depot.server.kill();
    for restarted in [false, true] {
        if restarted {
            site.kill();
            site.start_again();
            site.answers().await;
        }
        let whole = site.visitor().get("/MEDVImages/win7-office_1.ckm").await.expecting(200);
        assert!(whole.body[..] == ckm(1)[..]);
        let folder = depot.scratch().join(format!("pulled-{restarted}"));
        site.machine.pull_into(&tree, "win7-office", &folder).await.successful();
        assert!(std::fs::read(folder.join("win7-office_1.ckm.index")).expect("pulled") == index(1));
        // What nobody has asked for before is not there.
        let head = reqwest::Method::HEAD;
        let away = site.visitor().call(&head, "/MEDVImages/other_1.img").await;
        assert_eq!(away.status, 504);
    }
    depot.server.start_again().await;
    let other = site.visitor().get("/MEDVImages/other_1.img").await.expecting(200);
    assert_eq!(&other.body[..], b"not asked for");
    // It ends when it is asked to.
    let mut process = site.process.take().expect("it runs");
    kill_process(Pid::from_child(&process), Signal::TERM).expect("signal it");
    assert!(ends_well(&mut process).await);
}

#[tokio::test]
async fn what_was_revoked_is_gone_at_the_site() {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    for seed in [1, 2] {
        promote_next(&depot, "production", seed).await;
    }
    let site = Site::start(&depot, &[]).await;
    let visitor = site.visitor();
    for revision in [1, 2] {
        visitor.get(&format!("/MEDVImages/win7-office_{revision}.ckm")).await.expecting(200);
    }
    assert!(site.kept(&ckm(2)).exists());
    admin.post("/api/v1/images/win7-office/revisions/2/revoke?rollback=true").await.expecting(200);
    let gone = eventually("it is gone at the site", || async {
        let answer = visitor.get("/MEDVImages/win7-office_2.ckm").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(gone.problem(410), "revision_revoked");
    assert!(!site.kept(&ckm(2)).exists());
    visitor.get("/MEDVImages/win7-office_1.ckm").await.expecting(200);

    // What is withdrawn stays for its grace, as at the depot.
    admin.delete("/api/v1/images/win7-office/channels/production").await.expecting(200);
    eventually("the withdrawal is seen", || async {
        let answer = visitor.get("/MEDVImages/channel.json").await.expecting(200).json();
        (answer["images"] == json!([])).then_some(())
    })
    .await;
    let there = depot.anonymous().get_tree("win7-office_1.ckm").await.status;
    assert_eq!((there, visitor.get("/MEDVImages/win7-office_1.ckm").await.status), (200, 200));
    admin.revoke("win7-office", 1).await.expecting(200);
    eventually("that ends with the revocation", || async {
        (visitor.get("/MEDVImages/win7-office_1.ckm").await.status == 410).then_some(())
    })
    .await;
    assert!(!site.kept(&ckm(1)).exists());
}

#[tokio::test]
async fn a_killed_mirror_goes_on_with_what_it_has() {
    let bytes = sample::bytes(1, 12 << 20);
    let depot = depot_of_one(&bytes, "4 MB").await;
    let mut site = Site::start(&depot, &[]).await;
    let before = sent_bytes(&depot.admin()).await;
    let begun = site.visitor().get("/MEDVImages/win7_1.vhdx").begun().await;
    begun.expecting(200);
    let partial = site.kept(&bytes).with_extension("partial");
    eventually("half of it has come", || async {
        let length = std::fs::metadata(&partial).map_or(0, |about| about.len());
        (length > 5 << 20).then_some(())
    })
    .await;
    site.kill();
    site.start_again();
    site.answers().await;
    let whole = site.visitor().get("/MEDVImages/win7_1.vhdx").await.expecting(200);
    assert!(whole.body[..] == bytes[..]);
    let sent = sent_bytes(&depot.admin()).await - before;
    assert!(sent < bytes.len() as u64 + (3 << 20), "{sent} bytes over the line");
}

#[tokio::test]
async fn a_mirror_takes_no_more_of_the_line_than_its_rate() {
    let bytes = sample::bytes(1, 1 << 20);
    let depot = depot_of_one(&bytes, "50 MB").await;
    let site = Site::start(&depot, &["--rate", "500kB"]).await;
    let begun = std::time::Instant::now();
    let read = site.visitor().get("/MEDVImages/win7_1.vhdx").await.expecting(200);
    assert!(read.body[..] == bytes[..]);
    // A quarter of a second's bytes come at once.
    assert!(begun.elapsed() >= Duration::from_millis(1700), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_was_used_longest_ago_makes_room() {
    let depot = Depot::start(Database::Sqlite).await;
    let content = |number: u64| sample::bytes(number, 300_000);
    for number in 1..=4 {
        depot.admin().publish_single(&format!("image-{number}"), "img", &content(number)).await;
    }
    wait_until_signed(&depot, "image-4_1.img").await;
    let site = Site::start(&depot, &["--most-bytes", "700kB"]).await;
    let get = |number: u64| {
        let path = format!("/MEDVImages/image-{number}_1.img");
        let visitor = site.visitor();
        async move { visitor.get(&path).await.expecting(200) }
    };
    for number in [1, 2, 1, 3] {
        assert!(get(number).await.body[..] == content(number)[..]);
    }
    let kept = |number| site.kept(&content(number)).exists();
    assert_eq!([1, 2, 3, 4].map(kept), [true, false, true, false]);
    get(4).await;
    assert_eq!([1, 2, 3, 4].map(kept), [false, false, true, true]);
}

#[tokio::test]
async fn a_file_that_there_may_be_no_room_for_is_refused_before_its_first_byte() {
    let depot = depot_of_one(&sample::bytes(1, 300_000), "8 MB").await;
    let site = Site::start(&depot, &["--most-bytes", "100kB"]).await;
    site.visitor().get("/MEDVImages/win7_1.vhdx").await.problem(507);
    site.visitor().get("/MEDVImages/channel.json").await.expecting(200);
}

#[tokio::test]
async fn who_may_not_read_at_the_depot_may_not_read_here() {
    let mut depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let change = json!({"read": "authenticated"});
    admin.patch("/api/v1/channels/production").json(&change).await.expecting(200);
    admin.published_image("win7-office", "production").await;
    let scoped = json!({"name": "scoped", "password": "a word for the scoped", "roles": ["client"], "images": ["win7-*"]});
    admin.post("/api/v1/users").json(&scoped).await.expecting(201);
    depot.user_with_role("client").await;
    eventually("the tree is signed", || async {
        (admin.get_tree("tuf/timestamp.json").await.status == 200).then_some(())
    })
    .await;
    let site = Site::start(&depot, &[]).await;
    let base = format!("http://127.0.0.1:{}", site.port);
    let somebody = |name, word| Person::new(&base, Some((name, word)));
    let (client, scoped) =
        (somebody("client", "password of the client"), somebody("scoped", "a word for the scoped"));
    let path = "/MEDVImages/win7-office_1.ckm";
    let read = eventually("the mirror has seen the image", || async {
        let answer = client.get(path).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(read.body[..] == ckm(1)[..]);
    assert_eq!(read.required_header("cache-control"), "private, no-store");
    let refused = site.visitor().get(path).await;
    refused.problem(401);
    assert!(refused.header("www-authenticate").is_some());
    site.visitor().get("/MEDVImages/channel.json").await.problem(401);
    somebody("client", "another word").get(path).await.problem(401);
    client.get("/MEDVImages/channel.json").await.expecting(200);
    // Who may read some images reads those, and not the list of all.
    scoped.get(path).await.expecting(200);
    scoped.get("/MEDVImages/channel.json").await.problem(403);
    // The bins name all images.
    let snapshot = std::fs::read_dir(site.folder.join("tuf")).expect("metadata");
    let names =
        snapshot.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let bin = names.into_iter().find(|name| name.contains("bin-00")).expect("a bin");
    site.visitor().get(&format!("/MEDVImages/tuf/{bin}")).await.problem(401);
    client.get(&format!("/MEDVImages/tuf/{bin}")).await.expecting(200);
    site.visitor().get("/MEDVImages/tuf/timestamp.json").await.expecting(200);

    depot.server.kill();
    client.get(path).await.expecting(200);
    assert_eq!(somebody("client", "another word").get(path).await.status, 504);
}

#[tokio::test]
async fn metadata_is_not_served_past_its_expiry() {
    let mut depot = Depot::on(Database::Sqlite).setting("trust", "timestamp", "15s").start().await;
    promote_next(&depot, "production", 1).await;
    let site = Site::start(&depot, &[]).await;
    tokio::time::sleep(Duration::from_secs(16)).await;
    // It was renewed meanwhile.
    site.answers().await;
    depot.server.kill();
    tokio::time::sleep(Duration::from_secs(16)).await;
    for path in ["channel.json", "tuf/timestamp.json", "win7-office_1.ckm"] {
        let refused = site.visitor().get(&format!("/MEDVImages/{path}")).await;
        assert_eq!(refused.problem(504), "tree_not_renewed", "{path}");
        let words = refused.json()["detail"].to_string();
        assert!(words.contains("expired at 20"), "{words}");
    }
    depot.server.start_again().await;
    site.answers().await;
}

#[tokio::test]
async fn wrong_bytes_are_never_served_as_the_whole() {
    let bytes = sample::bytes(1, 2 << 20);
    let depot = depot_of_one(&bytes, "50 MB").await;
    depot.admin().wait_until_the_tree_is_complete().await;
    let upstream = StaticSite::start().await;
    let tree = upstream.copy(&depot, "MEDVImages").await;
    let mut wrong = bytes.clone();
    wrong[1 << 20] ^= 1;
    upstream.write("MEDVImages/win7_1.vhdx", &wrong);
    let site = Site::start_with(&depot, &["--tree", &tree], Vec::new()).await;
    for _ in 0..2 {
        let got = reqwest::get(site.url("win7_1.vhdx")).await.expect("an answer");
        assert!(!got.status().is_success() || got.bytes().await.is_err(), "it was taken for whole");
        assert!(!site.kept(&bytes).exists());
    }
    let log = std::fs::read_to_string(&site.log).expect("a log");
    assert!(log.contains("win7_1.vhdx: the bytes received have the digest"), "{log}");
    upstream.write("MEDVImages/win7_1.vhdx", &bytes);
    let whole = site.visitor().get("/MEDVImages/win7_1.vhdx").await.expecting(200);
    assert!(whole.body[..] == bytes[..]);
}

#[tokio::test]
async fn a_copy_of_some_channels_is_served_as_far_as_it_goes() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    promote_next(&depot, "test", 2).await;
    let office = Office::new(&depot, "office").await;
    office.look(&["production"]).await;
    let tree = office.tree();
    let site = Site::start_plain(&depot, &["--tree", &tree], Vec::new()).await;
    let get = |path: &str| reqwest::get(format!("http://127.0.0.1:{}/office/{path}", site.port));
    let image = eventually("it answers", || async {
        get("win7-office_1.ckm").await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    assert!(image.bytes().await.expect("the file")[..] == ckm(1)[..]);
    // Who may read this channel is not known here.
    let other = get("test/win7-office_2.ckm").await.expect("an answer");
    assert_eq!(other.status(), 404);
}

#[tokio::test]
async fn the_clients_of_a_site_pull_by_tls_and_curl_takes_ranges() {
    let depot = Depot::start(Database::Sqlite).await;
    promote_next(&depot, "production", 1).await;
    let authority = Authority::new(depot.scratch(), "authority");
    let certificate = authority.server("site");
    let file = |path: &Path| path.display().to_string();
    let flags = ["--certificate", &file(&certificate.file), "--key", &file(&certificate.key)];
    let mut site = Site::start_plain(&depot, &flags, of(&depot)).await;
    let tree = format!("https://localhost:{}/MEDVImages", site.port);
    let to = depot.scratch().join("pulled");
    eventually("it answers", || async {
        let mut pull = imagedepot(["pull", "win7-office", "--tree", &tree, "--to"]);
        pull.arg(&to).arg("--trust").arg(site.machine.path("root.json"));
        pull.arg("--ca").arg(authority.file()).env("IMAGEDEPOT_STATE_DIR", &site.state);
        (run(pull).await.code == 0).then_some(())
    })
    .await;
    assert!(std::fs::read(to.join("win7-office_1.ckm")).expect("pulled") == ckm(1));
    let part = depot.scratch().join("part");
    let mut half: Command = curl();
    half.args(["--range", "100-299999", "--output"]).arg(&part);
    half.arg("--cacert").arg(authority.file()).arg(format!("{tree}/win7-office_1.ckm"));
    run(half).await.successful();
    assert!(std::fs::read(&part).expect("the part") == ckm(1)[100..]);
    site.kill();
}
