//! `[store.options]`: what they say counts for every request, also for those that the store's client has no words for.

use std::path::Path;
use std::process::Child;

use crate::harness::command::{imagedepot, run};
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, Store, bucket, eventually, nginx, sample};

/// nginx as a forward proxy, the only way to a bucket whose name nobody else resolves.
struct ForwardProxy {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl ForwardProxy {
    async fn to_the_bucket() -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let settings = settings_of(folder.path(), port);
        std::fs::write(folder.path().join("settings"), settings).expect("write the settings");
        let process = nginx::command(folder.path()).spawn().expect("start nginx");
        eventually("nginx listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { process, port, _folder: folder }
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn settings_of(folder: &Path, port: u16) -> String {
    let server = format!(
        "    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{};
            proxy_set_header Host $http_host;
        }}
    }}",
        bucket::address()
    );
    nginx::settings(folder, &server)
}

#[tokio::test]
async fn everything_goes_through_the_proxy_that_is_set() {
    let proxy = ForwardProxy::to_the_bucket().await;
    let depot = Depot::on(Database::Sqlite)
        .store(Store::S3)
        .setting("store", "options__endpoint", "http://bucket.invalid")
        .setting("store", "options__proxy_url", &format!("http://127.0.0.1:{}", proxy.port))
        // Copies in parts, too.
        .setting("store", "multipart_copy_above", "5 MiB")
        .start()
        .await;
    let admin = depot.admin();
    let large = sample::bytes(1, 6_000_000);
    admin.publish_single("large", "qcow2", &large).await;
    admin.wait_until_published("large", "production").await;
    admin.published_image("win7-office", "production").await;
    let of_depot = depot.bucket.as_ref().expect("started with one");
    assert!(of_depot.get("MEDVImages/large_1.qcow2").await == large);
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
}

/// This version of Ceph copies nothing that it has encrypted, and a server that could publish nothing does not start.
#[tokio::test]
async fn a_bucket_that_does_not_copy_what_it_encrypts_is_refused() {
    let refused = start_with(&[
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
        ("AWS_SSE_KMS_KEY_ID", "testkey-1"),
    ])
    .await;
    assert!(refused.contains("did not copy"), "{refused}");
}

#[tokio::test]
async fn a_tree_that_nobody_else_could_read_is_refused() {
    let key = "YW4gZW5jcnlwdGlvbiBrZXkgb2YgMzIgYnl0ZXMgICE=";
    let refused = start_with(&[
        ("AWS_SERVER_SIDE_ENCRYPTION", "sse-c"),
        ("AWS_SSE_CUSTOMER_KEY_BASE64", key),
    ])
    .await;
    assert!(refused.contains("sse-c") && !refused.contains(key), "{refused}");
}

/// Starts a server with these options, which fails, and returns its message.
async fn start_with(options: &[(&str, &str)]) -> String {
    let bucket = bucket::Bucket::in_s3().await;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let mut serve = imagedepot(["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    serve.envs(bucket.environment.iter().cloned());
    for (name, value) in options {
        serve.env(format!("IMAGEDEPOT__STORE__OPTIONS__{name}"), value);
    }
    let refused = run(serve).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    refused.stderr
}
