//! Shared caches before the server, real squid, nginx, Varnish and Apache: what needs credentials is handed to nobody
//! else, what everyone may read is kept, and no refusal is.

use std::path::Path;
use std::process::{Child, Command};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::command::guarded;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::person::Person;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually, nginx, sample};

/// A cache that hands the server's answers on, and whatever it may keep.
pub struct Cache {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Cache {
    async fn start(
        settings_of: impl Fn(&Path, u16) -> String,
        program: impl Fn(&Path) -> Command,
    ) -> Self {
        Self::start_at(free_port(), settings_of, program).await
    }

    async fn start_at(
        port: u16,
        settings_of: impl Fn(&Path, u16) -> String,
        program: impl Fn(&Path) -> Command,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // squid gives up root, and writes into it afterwards.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).expect("open the folder");
        let settings = settings_of(folder.path(), port);
        std::fs::write(folder.path().join("settings"), settings).expect("write the settings");
        let process = program(folder.path()).spawn().expect("start the cache");
        eventually("the cache listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { process, port, _folder: folder }
    }

    pub async fn nginx(server: u16) -> Self {
        let settings = |folder: &Path, port: u16| {
            let kept = folder.join("kept");
            let site = format!(
                "proxy_cache_path {} keys_zone=kept:1m;
                 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{server};
                 proxy_cache kept; proxy_cache_methods GET HEAD; proxy_ignore_headers X-Accel-Buffering; proxy_set_header Authorization $http_authorization;
                 add_header X-Cache $upstream_cache_status always; }} }}",
                kept.display()
            );
            nginx::settings(folder, &site)
        };
        Self::start(settings, nginx::command).await
    }

    pub async fn squid(server: u16) -> Self {
        let settings = |folder: &Path, port: u16| {
            let folder = folder.display();
            format!(
                "http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent {server} 0 no-query no-digest originserver login=PASSTHRU name=depot
http_access allow all
cache_mem 32 MB
maximum_object_size_in_memory 4 MB
access_log none
cache_log {folder}/log
pid_filename {folder}/pid
coredump_dir {folder}
visible_hostname cache
shutdown_lifetime 0 seconds
"
            )
        };
        let program = |folder: &Path| {
            let mut squid = guarded("squid");
            squid.arg("-N").arg("-f").arg(folder.join("settings"));
            squid
        };
        Self::start(settings, program).await
    }

    pub async fn varnish(server: u16) -> Self {
        let settings = |_: &Path, _: u16| {
            format!(
                r#"vcl 4.1;
backend depot {{ .host = "127.0.0.1"; .port = "{server}"; }}
sub vcl_deliver {{ if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }} }}
"#
            )
        };
        let port = free_port();
        let program = move |folder: &Path| {
            let mut varnish = guarded("varnishd");
            // In front, without its own user: that may not read a temporary folder.
            varnish.args([
                "-F",
                "-j",
                "none",
                "-a",
                &format!("127.0.0.1:{port}"),
                "-s",
                "malloc,64m",
            ]);
            varnish.arg("-n").arg(folder).arg("-f").arg(folder.join("settings"));
            varnish
        };
        Self::start_at(port, settings, program).await
    }

    pub async fn apache(server: u16) -> Self {
        let settings = |folder: &Path, port: u16| {
            let folder = folder.display();
            let modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk"];
            let load = modules.map(|module| {
                format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n")
            });
            format!(
                r#"{}ServerName cache
ServerRoot {folder}
Listen 127.0.0.1:{port}
User #65534
Group #65534
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/log
CacheRoot {folder}/kept
CacheEnable disk "/"
CacheMaxFileSize 100000000
CacheHeader on
ProxyPass "/" "http://127.0.0.1:{server}/"
"#,
                load.concat()
            )
        };
        let program = |folder: &Path| {
            let kept = folder.join("kept");
            std::fs::create_dir(&kept).expect("a folder");
            // It gives up root, too.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(&kept, open).expect("open the folder");
            let mut apache = guarded("apache2");
            apache.args(["-X", "-f"]).arg(folder.join("settings"));
            apache
        };
        Self::start(settings, program).await
    }

    fn admin(&self) -> Person {
        Person::new(&self.base(), Some(("admin", ADMIN_PASSWORD)))
    }

    fn anonymous(&self) -> Person {
        Person::new(&self.base(), None)
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn closed_depot() -> Depot {
    let depot = Depot::start(Database::Sqlite).await;
    let admin = depot.admin();
    let closed = json!({"name": "closed", "read": "authenticated"});
    admin.post("/api/v1/channels").json(&closed).await.expecting(201);
    admin.published_image("win7-office", "closed").await;
    admin.published_image("win10-open", "production").await;
    depot
}

async fn hands_nothing_out(cache: Cache, depot: &Depot) {
    const CLOSED: [&str; 4] = [
        "/MEDVImages/closed/win7-office_1.ckm",
        "/MEDVImages/closed/channel.json",
        "/api/v1/images/win7-office",
        "/api/v1/images/win7-office/revisions/1/files/ckm",
    ];
    const CHECK: &str = "/api/v1/update-check?image=win7-office&channel=closed";
    let (admin, anyone) = (cache.admin(), cache.anonymous());
    for path in CLOSED.into_iter().chain([CHECK]) {
        for range in [None, Some("bytes=0-99")] {
            let ask = |person: &Person| {
                let call = person.get(path);
                range.map_or_else(|| person.get(path), |range| call.header("Range", range))
            };
            for _ in 0..2 {
                let answer = ask(&admin).await;
                assert_eq!(answer.status / 100, 2, "{path}: {}", answer.text());
                assert_eq!(answer.required_header("cache-control"), "private, no-store", "{path}");
            }
            assert_eq!(ask(&anyone).await.status, 401, "{path} {range:?}");
        }
        let head = admin.call(&reqwest::Method::HEAD, path).await;
        assert_eq!(head.required_header("cache-control"), "private, no-store", "{path}");
    }
    // nginx asks for what it might keep without conditions.
    let admin = depot.admin();
    let tag = admin.get(CLOSED[0]).await.required_header("etag").to_owned();
    let same = admin.get(CLOSED[0]).header("If-None-Match", &tag).await.expecting(304);
    assert_eq!(same.required_header("cache-control"), "private, no-store");

    // What everyone may read is kept, or the test would say nothing.
    let open = "/MEDVImages/win10-open_1.ckm";
    anyone.get(open).await.expecting(200);
    eventually("the second download comes from the cache", || async {
        let again = anyone.get(open).await.expecting(200);
        again.header("x-cache").is_some_and(|from| from.contains("HIT")).then_some(())
    })
    .await;

    // A file that is not there yet.
    let later = "/MEDVImages/later_1.ckm";
    anyone.get(later).await.expecting(404);
    depot.admin().published_image("later", "production").await;
    anyone.get(later).await.expecting(200);
}

#[tokio::test]
async fn squid_hands_what_needs_credentials_to_nobody_else() {
    let depot = closed_depot().await;
    hands_nothing_out(Cache::squid(depot.server.port()).await, &depot).await;
}

#[tokio::test]
async fn nginx_s_cache_hands_what_needs_credentials_to_nobody_else() {
    let depot = closed_depot().await;
    hands_nothing_out(Cache::nginx(depot.server.port()).await, &depot).await;
}

#[tokio::test]
async fn varnish_hands_what_needs_credentials_to_nobody_else() {
    let depot = closed_depot().await;
    hands_nothing_out(Cache::varnish(depot.server.port()).await, &depot).await;
}

#[tokio::test]
async fn apache_s_cache_hands_what_needs_credentials_to_nobody_else() {
    let depot = closed_depot().await;
    hands_nothing_out(Cache::apache(depot.server.port()).await, &depot).await;
}

/// It fetches the whole file for a range, and answers the range as it comes; several at once it refuses by itself.
#[tokio::test]
async fn varnish_answers_ranges_of_what_it_fetched_whole() {
    let depot = Depot::start(Database::Sqlite).await;
    let bytes = sample::bytes(1, 5_000_000);
    depot.admin().publish_single("linux", "img", &bytes).await;
    let cache = Cache::varnish(depot.server.port()).await;
    let path = "/MEDVImages/linux_1.img";
    for (range, part) in [("bytes=4000000-4000099", 4_000_000..4_000_100), ("bytes=0-9", 0..10)] {
        let answer = cache.anonymous().get(path).header("Range", range).await.expecting(206);
        assert!(answer.body == bytes[part], "{range}");
        assert!(answer.header("etag").is_some());
    }
    assert!(cache.anonymous().get(path).await.expecting(200).body == bytes);
    cache.anonymous().get(path).header("Range", "bytes=0-9,20-29").await.expecting(416);
    let metrics = depot.admin().get("/metrics").await.expecting(200).text();
    let sent = metrics.lines().find_map(|line| line.strip_prefix("imagedepot_sent_bytes_total "));
    let sent: u64 = sent.and_then(|sent| sent.parse().ok()).expect("a number");
    assert!(sent < 6_000_000, "the file was fetched once: {sent}");
}
