//! A bucket of a real S3 server: Ceph's gateway, started by `tests/object-store` on first use and shared by all
//! processes of a test run. Or a container of Azurite, which is Microsoft's own stand-in for Azure Blob Storage.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::azurite::{self, Azurite};
use super::channel_folder::is_signed;
use super::command::{curl, run};
use super::sample;

const BUCKET: &str = "depot";
const KEY: &str = "tests-key";
const SECRET: &str = "tests-secret";

/// A prefix of its own in a bucket, as an administrator sees it with other tools.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    prefix: String,
    /// The environment that a server needs to keep its blobs and its tree there.
    pub environment: Vec<(String, String)>,
    /// Azure's service runs for this test alone.
    _azurite: Option<Azurite>,
}

impl Bucket {
    pub async fn in_s3() -> Self {
        let store = AmazonS3Builder::new()
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_endpoint(endpoint())
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .with_allow_http(true)
            .build()
            .expect("a client of the bucket");
        let options = [
            ("ENDPOINT", endpoint()),
            ("REGION", "us-east-1"),
            ("ACCESS_KEY_ID", KEY),
            ("SECRET_ACCESS_KEY", SECRET),
            ("ALLOW_HTTP", "true"),
        ];
        let bucket = Self::new(Arc::new(store), "s3", &options, None);
        let url = bucket.signed("PUT", "").await;
        let made = reqwest::Client::new().put(url).send().await.expect("the gateway");
        assert!(made.status().is_success() || made.status() == 409, "{}", made.status());
        bucket
    }

    pub async fn in_azure(folder: &Path) -> Self {
        let azurite = Azurite::start(folder).await;
        azurite.make_container(BUCKET).await;
        let endpoint = azurite.endpoint();
        let store = MicrosoftAzureBuilder::new()
            .with_container_name(BUCKET)
            .with_account(azurite::ACCOUNT)
            .with_access_key(azurite::KEY)
            .with_endpoint(endpoint.clone())
            .with_allow_http(true)
            .build()
            .expect("a client of the container");
        let options = [
            ("ENDPOINT", endpoint.as_str()),
            ("ACCOUNT_NAME", azurite::ACCOUNT),
            ("ACCOUNT_KEY", azurite::KEY),
            ("ALLOW_HTTP", "true"),
        ];
        Self::new(Arc::new(store), "az", &options, Some(azurite))
    }

    fn new<T: ObjectStore + Signer>(
        store: Arc<T>,
        scheme: &str,
        options: &[(&str, &str)],
        azurite: Option<Azurite>,
    ) -> Self {
        let prefix = format!("depot-{}", sample::unique());
        let url = format!("{scheme}://{BUCKET}/{prefix}");
        let mut environment = vec![("IMAGEDEPOT__STORE__URL".to_owned(), url)];
        environment.extend(options.iter().map(|(name, value)| {
            (format!("IMAGEDEPOT__STORE__OPTIONS__{name}"), (*value).to_owned())
        }));
        Self { store: store.clone(), signer: store, prefix, environment, _azurite: azurite }
    }

    /// The names of all objects below a folder, relative to it. In the tree, the signed metadata is left out.
    pub async fn names(&self, folder: &str) -> Vec<String> {
        let prefix = self.key(folder);
        let listed: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.expect("a listing");
        let start = prefix.as_ref().len() + 1;
        let mut names: Vec<_> =
            listed.iter().map(|object| object.location.as_ref()[start..].to_owned()).collect();
        names.retain(|name| folder != "MEDVImages" || !is_signed(name));
        names.sort();
        names
    }

    /// The blobs: whatever is not the tree.
    pub async fn blobs(&self) -> Vec<String> {
        let names = self.names("").await;
        let is_blob =
            |name: &String| !name.starts_with("MEDVImages/") && name != "imagedepot-catalog";
        names.into_iter().filter(is_blob).collect()
    }

    /// The published tree, by path.
    pub async fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        self.objects_in("MEDVImages").await
    }

    /// Everything in the tree, with its signed metadata.
    pub async fn whole_tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = self.tree().await;
        for (name, bytes) in self.objects_in("MEDVImages/tuf").await {
            tree.insert(format!("tuf/{name}"), bytes);
        }
        tree
    }

    /// The objects of a folder that are still there when they are read, by name. The gateway takes 50 ms for each: many
    /// are read at once.
    async fn objects_in(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let read = async |name: String| {
            let bytes = self.find(&format!("{folder}/{name}")).await?;
            Some((name, bytes))
        };
        let read = stream::iter(self.names(folder).await).map(read).buffer_unordered(16);
        read.filter_map(std::future::ready).collect().await
    }

    pub async fn get(&self, path: &str) -> Vec<u8> {
        let object = self.store.get(&self.key(path)).await.expect("an object");
        object.bytes().await.expect("its bytes").to_vec()
    }

    /// Returns an object, unless it is not there: not yet, or withdrawn since it was listed.
    pub async fn find(&self, path: &str) -> Option<Vec<u8>> {
        match self.store.get(&self.key(path)).await {
            Ok(object) => Some(object.bytes().await.expect("its bytes").to_vec()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub async fn put(&self, path: &str, bytes: &[u8]) {
        self.store.put(&self.key(path), bytes.to_vec().into()).await.expect("put an object");
    }

    pub async fn delete(&self, path: &str) {
        self.store.delete(&self.key(path)).await.expect("delete an object");
    }

    /// Returns the headers that a browser gets with an object.
    pub async fn headers(&self, path: &str) -> reqwest::header::HeaderMap {
        let url = self.signed("GET", path).await;
        let answer = reqwest::get(url).await.expect("the gateway");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.headers().clone()
    }

    /// Lets everybody read the tree, as an administrator does who serves it from the bucket itself. Returns its URL.
    pub async fn open_tree(&self) -> String {
        let everybody = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{BUCKET}/*/MEDVImages/*"),
        }]})
        .to_string();
        // curl 7.88 signs this header where it is given, and does not make it.
        let digest =
            sample::digest(everybody.as_bytes()).replace("sha256:", "x-amz-content-sha256: ");
        let mut allow = curl();
        allow.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &format!("{KEY}:{SECRET}")]);
        allow.args(["--request", "PUT", "--header", &digest, "--data-binary", &everybody]);
        allow.arg(format!("{}/{BUCKET}?policy=", endpoint()));
        run(allow).await.successful();
        format!("{}/{BUCKET}/{}/MEDVImages", endpoint(), self.prefix)
    }

    async fn signed(&self, method: &str, path: &str) -> url::Url {
        let key = if path.is_empty() { Key::default() } else { self.key(path) };
        let method = method.parse().expect("a method");
        self.signer.signed_url(method, &key, Duration::from_mins(1)).await.expect("a signed URL")
    }

    fn key(&self, path: &str) -> Key {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(Key::from(self.prefix.as_str()), object_store::path::Path::join)
    }
}

/// Returns the address of the S3 server: `host:port`.
pub fn address() -> &'static str {
    endpoint().trim_start_matches("http://")
}

/// Starts the server when nobody has yet, and keeps it for the life of this process.
fn endpoint() -> &'static str {
    static SERVER: OnceLock<(String, File)> = OnceLock::new();
    let (endpoint, _) = SERVER.get_or_init(|| {
        let locks = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let users = locks.join("object-store-users.lock");
        let users = File::options().create(true).append(true).open(users).expect("a lock file");
        users.lock_shared().expect("the lock");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("object-store");
        let started = Command::new(script).arg(locks).output().expect("tests/object-store");
        let said = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success(), "tests/run installs what it needs: {said}");
        let address = String::from_utf8(started.stdout).expect("an address");
        (format!("http://{}", address.trim()), users)
    });
    endpoint
}
