//! A bucket of a real S3 server, for tests: Ceph's gateway, started by `tests/object-store` on first
//! use and shared by all processes of a test run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as StorePath;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use reqwest::Method;
use url::Url;

use super::Blobs;

const BUCKET: &str = "depot";

/// The bucket, limited to a prefix of the test's own.
pub(crate) struct TestBucket {
    store: AmazonS3,
    prefix: String,
}

/// A change to a tail that a test makes without the server's knowledge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meddling {
    Flip,
    Remove,
}

impl TestBucket {
    pub(crate) async fn new(prefix: &str) -> Self {
        let store = AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_endpoint(endpoint())
            .with_access_key_id("tests-key")
            .with_secret_access_key("tests-secret")
            .with_allow_http(true)
            .build()
            .unwrap();
        let bucket = Self { store, prefix: prefix.to_owned() };
        bucket.request(Method::PUT, &[]).await;
        bucket
    }

    /// Opens the store with the smallest parts that S3 accepts.
    pub(crate) fn blobs(&self, spool: &Path) -> Blobs {
        self.blobs_at(endpoint(), spool)
    }

    /// Opens the same store at an address where nothing answers.
    pub(crate) fn blobs_away(&self, spool: &Path) -> Blobs {
        self.blobs_at("http://127.0.0.1:9", spool)
    }

    fn blobs_at(&self, endpoint: &str, spool: &Path) -> Blobs {
        let url = Url::parse(&format!("s3://{BUCKET}/{}", self.prefix)).unwrap();
        let options = [
            ("endpoint", endpoint),
            ("region", "us-east-1"),
            ("access_key_id", "tests-key"),
            ("secret_access_key", "tests-secret"),
            ("allow_http", "true"),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Blobs::open(&url, options, spool).unwrap().with_parts_of(5 * 1024 * 1024)
    }

    /// Lists everything that exists: objects, and multipart uploads that are neither complete nor aborted.
    pub(crate) async fn contents(&self) -> Vec<String> {
        let prefix = StorePath::from(self.prefix.as_str());
        let objects: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.unwrap();
        let mut found: Vec<_> = objects.iter().map(|object| object.location.to_string()).collect();
        let query = [("uploads", ""), ("prefix", &format!("{}/", self.prefix))];
        let uploads = self.request(Method::GET, &query).await;
        assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
        found.extend(uploads.split("<Upload>").skip(1).map(|upload| format!("multipart {upload}")));
        found
    }

    /// Changes one byte of the only tail, or deletes the tail.
    pub(crate) async fn meddle_with_tail(&self, meddling: Meddling) {
        let prefix = StorePath::from(self.prefix.as_str());
        let objects: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.unwrap();
        let mut tails =
            objects.iter().filter(|object| object.location.as_ref().contains(".tails/"));
        let (tail, None) = (tails.next().unwrap(), tails.next()) else { panic!("one tail") };
        match meddling {
            Meddling::Flip => {
                let found = self.store.get(&tail.location).await.unwrap().bytes().await.unwrap();
                let mut bytes = found.to_vec();
                bytes[0] ^= 1;
                self.store.put(&tail.location, bytes.into()).await.unwrap();
            }
            Meddling::Remove => self.store.delete(&tail.location).await.unwrap(),
        }
    }

    /// Sends a request that the store's client has no method for.
    async fn request(&self, method: Method, query: &[(&str, &str)]) -> String {
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let expires = Duration::from_mins(1);
        let root = StorePath::default();
        let url = self.store.signed_url_opts(method.clone(), &root, expires, &options).await;
        let answer = reqwest::Client::new().request(method, url.unwrap()).send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success() || status == 409, "{status}: {body}");
        body
    }
}

/// Starts the server if it is not running yet, and keeps it for the life of this process.
fn endpoint() -> &'static str {
    static SERVER: OnceLock<(String, File)> = OnceLock::new();
    let (endpoint, _) = SERVER.get_or_init(|| {
        let locks = target_folder().join("tmp");
        std::fs::create_dir_all(&locks).unwrap();
        let users = locks.join("object-store-users.lock");
        let users = File::options().create(true).append(true).open(users).unwrap();
        users.lock_shared().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/object-store");
        let started = Command::new(script).arg(&locks).output().unwrap();
        let said = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success(), "tests/run installs what it needs: {said}");
        let address = String::from_utf8(started.stdout).unwrap();
        (format!("http://{}", address.trim()), users)
    });
    endpoint
}

/// Returns Cargo's target folder. Cargo passes it only to integration tests; this program is in `debug/deps` below it.
fn target_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}
