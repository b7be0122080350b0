//! `imagedepot demo`: a server in a new folder that takes an image through its whole life while you watch, over HTTP as
//! any client would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use reqwest::{Client, Response};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::serve;
use crate::client::folder::folder;
use crate::client::output::say;
use crate::config::{Config, Listener};
use crate::model::{Digest, Ids};
use crate::server::{self, Bound};
use crate::telemetry;

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder for the demo's data, which must not exist yet [default: a temporary folder, deleted when the demo ends]
    #[arg(long, value_name = "DIR", value_parser = folder())]
    data: Option<PathBuf>,
}

/// Prints a line for the person who watches. The demo goes on if nobody reads its output any more.
macro_rules! tell {
    ($($words:tt)*) => {
        say(&format!($($words)*))?
    };
}

const IMAGE: &str = "win7-office";
const CKM_SIZE: usize = 8 * 1024 * 1024;
const INDEX_SIZE: usize = 16 * 1024;

pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let temporary = args.data.is_none();
    let data = args.data.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("imagedepot-demo-{}", std::process::id()))
    });
    std::fs::create_dir(&data).with_context(|| {
        format!("cannot create the demo's folder {}, which must not exist yet", data.display())
    })?;
    // Boxed: it contains a whole server, and the future of the command line contains it.
    let served = Box::pin(serve_demo(args.listen, &data)).await;
    if temporary {
        std::fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
    }
    served
}

async fn serve_demo(listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
    let mut config = Config::read(None)?;
    "warn".clone_into(&mut config.log.level);
    let config = config.complete(data, Some(Listener::plain(listen)))?;
    telemetry::start_logging(&config.log)?;
    let bound = server::bind(config, data).await?;
    let tour = Tour::of(&bound, data)?;
    let (stop, stopped) = (serve::stop_signal()?, tokio_util::sync::CancellationToken::new());
    let serving = {
        let stopped = stopped.clone();
        let stop = async move {
            tokio::select! { () = stop => {}, () = stopped.cancelled() => {} }
        };
        bound.serve(stop, None)
    };
    let touring = async {
        let toured = tour.walk().await;
        if toured.is_err() {
            stopped.cancel();
        }
        toured
    };
    let (served, toured) = tokio::join!(serving, touring);
    toured.and(served.map_err(Into::into))
}

/// The life of an image, step by step.
struct Tour {
    http: Client,
    url: String,
    password: String,
    tree: PathBuf,
}

impl Tour {
    fn of(bound: &Bound, data: &Path) -> anyhow::Result<Self> {
        let admin =
            bound.opened().first_admin.as_ref().context("the demo's folder was not empty")?;
        Ok(Self {
            http: Client::new(),
            url: bound.urls().into_iter().next().context("the demo has no listener")?,
            password: admin.password.expose_secret().to_owned(),
            tree: data.join("MEDVImages"),
        })
    }

    async fn walk(&self) -> anyhow::Result<()> {
        tell!("imagedepot demo: one image, from upload to download\n");
        self.json(
            "POST",
            "images",
            json!({"name": IMAGE, "kind": "medv", "description": "a sample"}),
        )
        .await?;
        tell!("  1. the image {IMAGE} of kind medv was created: a .ckm and its .ckm.index");
        let first = self.upload_revision().await?;
        tell!("  2. revision {first}: draft, both files uploaded and verified, sealed");
        self.promote("test", first).await?;
        self.promote("production", first).await?;
        tell!("  3. revision {first} was promoted to test, then to production");
        let second = self.upload_revision().await?;
        self.promote("test", second).await?;
        tell!("  4. revision {second} was uploaded and promoted to test");
        self.show_tree().await?;
        self.check("test", first).await?;
        self.check("production", first).await?;
        let size = self.download(&format!("test/{IMAGE}_{second}.ckm")).await?;
        tell!("  7. a client downloaded revision {second}: {size} bytes with the right SHA-256");
        self.what_next(second)
    }

    /// Uploads a draft with both files and seals it; returns its number.
    async fn upload_revision(&self) -> anyhow::Result<u64> {
        let draft = self.json("POST", &format!("images/{IMAGE}/revisions"), json!({})).await?;
        let number = draft["number"].as_u64().context("the answer has no revision number")?;
        let revision = format!("images/{IMAGE}/revisions/{number}");
        for (role, size) in [("ckm", CKM_SIZE), ("index", INDEX_SIZE)] {
            let bytes = sample_bytes(size);
            let digest = Digest::of(&bytes).to_string();
            let request = self.http.put(self.api(&format!("{revision}/files/{role}"))).body(bytes);
            let file: Value = self.send(request).await?.json().await?;
            anyhow::ensure!(
                file["digest"] == digest,
                "the server's file differs from the bytes sent"
            );
        }
        self.json("POST", &format!("{revision}/seal"), json!({})).await?;
        Ok(number)
    }

    async fn promote(&self, channel: &str, revision: u64) -> anyhow::Result<()> {
        self.json(
            "PUT",
            &format!("images/{IMAGE}/channels/{channel}"),
            json!({"revision": revision}),
        )
        .await?;
        Ok(())
    }

    async fn show_tree(&self) -> anyhow::Result<()> {
        self.json("POST", "publications/reconcile", Value::Null).await?;
        tell!("  5. the tree in {}, which nginx or IIS can serve as it is:", self.tree.display());
        let publications = self.json("GET", "publications", Value::Null).await?;
        for publication in publications["items"].as_array().into_iter().flatten() {
            tell!("       {}", publication["path"].as_str().unwrap_or_default());
        }
        Ok(())
    }

    async fn check(&self, channel: &str, revision: u64) -> anyhow::Result<()> {
        let question = format!(
            "update-check?image={IMAGE}&channel={channel}&revision={revision}&client=PC-0815"
        );
        let answer = self.json("GET", &question, Value::Null).await?;
        tell!(
            "  6. PC-0815 has revision {revision} and asks for updates in {channel}: {} ({}), next check in {} s",
            answer["action"].as_str().unwrap_or_default(),
            answer["reason"].as_str().unwrap_or_default(),
            answer["check_after_seconds"]
        );
        Ok(())
    }

    async fn download(&self, path: &str) -> anyhow::Result<usize> {
        let response = self
            .http
            .get(format!("{}/MEDVImages/{path}", self.url))
            .send()
            .await?
            .error_for_status()?;
        let tag = response
            .headers()
            .get("etag")
            .and_then(|tag| tag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let bytes = response.bytes().await?;
        anyhow::ensure!(
            tag.contains(&Digest::of(&bytes).to_hex()),
            "the downloaded bytes do not match their ETag"
        );
        Ok(bytes.len())
    }

    fn what_next(&self, revision: u64) -> anyhow::Result<()> {
        let Self { url, password, .. } = self;
        let program = std::env::current_exe().unwrap_or_else(|_| "imagedepot".into());
        let program = program.display();
        tell!(
            "\nThe server keeps running at {url} (Ctrl-C ends it). To browse and try the API, open {url}/docs/\n\
             The administrator is admin with the password {password}. What to try next:\n\n\
             \x20 # ask for an update, as each client machine does every 15 minutes\n\
             \x20 curl '{url}/api/v1/update-check?image={IMAGE}&channel=production&revision=1&client=PC-0815'\n\n\
             \x20 # download an image; run it again to continue an interrupted download\n\
             \x20 curl --fail -C - -O {url}/MEDVImages/test/{IMAGE}_{revision}.ckm\n\n\
             \x20 # promote revision {revision} to production, and roll back\n\
             \x20 curl -u admin:{password} -X PUT {url}/api/v1/images/{IMAGE}/channels/production \\\n\
             \x20      -H 'Content-Type: application/json' -d '{{\"revision\": {revision}}}'\n\
             \x20 curl -u admin:{password} -X POST {url}/api/v1/images/{IMAGE}/channels/production/rollback\n\n\
             \x20 # upload and download with the command line\n\
             \x20 export IMAGEDEPOT_URL={url} IMAGEDEPOT_USER=admin IMAGEDEPOT_PASSWORD={password}\n\
             \x20 {program} push my-image disk.qcow2 --channel test\n\
             \x20 {program} pull {IMAGE} --channel test --to ."
        );
        Ok(())
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        let mut request = self.http.request(method.parse()?, self.api(path));
        if !body.is_null() {
            request = request.json(&body);
        }
        Ok(self.send(request).await?.json().await?)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let response = request.basic_auth(server::ADMIN, Some(&self.password)).send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, text) = (response.status(), response.text().await?);
        anyhow::bail!("{status}: {text}")
    }

    fn api(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.url)
    }
}

/// Returns bytes that no other sample has.
fn sample_bytes(size: usize) -> Vec<u8> {
    let mut seed = Digest::of(Ids.next().as_bytes());
    let mut bytes = Vec::with_capacity(size + 32);
    while bytes.len() < size {
        bytes.extend_from_slice(seed.as_bytes());
        seed = Digest::of(seed.as_bytes());
    }
    bytes.truncate(size);
    bytes
}
