//! A real OpenID Connect issuer (oidc-provider, on Node.js), started, stopped, and started with other keys.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::person::http_client;
use super::server::free_port;
use crate::generated_clients::installed;

/// The audience of its tokens for the depot.
pub const AUDIENCE: &str = "urn:example:imagedepot";

/// An issuer on a loopback port of its own; killed when dropped.
pub struct Issuer {
    port: u16,
    keys: PathBuf,
    process: Option<Child>,
}

impl Issuer {
    /// One that does not run yet, with its files in `folder`.
    pub fn in_folder(folder: &Path) -> Self {
        Self { port: free_port(), keys: folder.join("issuer-keys.json"), process: None }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it. Node.js was seen once to print its first line and then nothing for half a minute; such a process is
    /// replaced.
    pub async fn start(&mut self) {
        let has_keys = self.keys.exists();
        for _ in 0..3 {
            self.process = Some(self.command().spawn().expect("start the issuer"));
            if self.answers_within(Duration::from_secs(20)).await {
                return;
            }
            self.stop();
            if !has_keys && self.keys.exists() {
                self.forget_keys();
            }
        }
        panic!("the issuer does not start");
    }

    fn command(&self) -> Command {
        let package = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/oidc-provider");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "node"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/issuer.mjs"))
            .arg(self.port.to_string())
            .arg(&self.keys)
            .env("OIDC_PROVIDER", package)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null());
        command
    }

    async fn answers_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while http_client().get(format!("{}/counts", self.url())).send().await.is_err() {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the issuer runs");
        process.kill().expect("stop the issuer");
        process.wait().expect("see its end");
    }

    /// The next start has new keys, and none of the old ones.
    pub fn forget_keys(&self) {
        std::fs::remove_file(&self.keys).expect("remove the keys");
    }

    /// An access token as programs get one, by their client credentials.
    pub async fn token(&self, client: &str, audience: &str) -> String {
        let answer = http_client()
            .post(format!("{}/token", self.url()))
            .basic_auth(client, Some("no secret at all"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=client_credentials&resource={audience}"))
            .send()
            .await
            .expect("the issuer's answer");
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// A token of exactly these texts, signed with the issuer's own key for `algorithm`. `KID` in the head
    /// stands for that key's id.
    pub async fn forge(&self, head: &str, claims: &str, algorithm: &str) -> String {
        let question = json!({"head": head, "claims": claims, "key": algorithm});
        let answer =
            http_client().post(format!("{}/forge", self.url())).json(&question).send().await;
        answer.expect("the issuer's answer").text().await.expect("a token")
    }

    /// The issuer's public keys, as everybody sees them.
    pub async fn public_keys(&self) -> Vec<Value> {
        let answer = http_client().get(format!("{}/jwks", self.url())).send().await;
        let set: Value = answer.expect("the keys").json().await.expect("JSON");
        set["keys"].as_array().expect("keys").clone()
    }

    /// Returns how often its keys were fetched since its start.
    pub async fn fetched(&self) -> u64 {
        let answer = http_client().get(format!("{}/counts", self.url())).send().await;
        let counts: Value = answer.expect("the counts").json().await.expect("JSON");
        counts["fetched"].as_u64().expect("a number")
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
    }
}
