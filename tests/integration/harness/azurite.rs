//! Azurite: Microsoft's own stand-in for Azure Blob Storage, with its well-known account.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::eventually;
use super::server::free_port;
use crate::generated_clients::installed;

pub const ACCOUNT: &str = "devstoreaccount1";
/// Published by Microsoft for everybody's tests.
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The service, until it is dropped.
pub struct Azurite {
    port: u16,
    process: Child,
}

impl Azurite {
    pub async fn start(folder: &Path) -> Self {
        let program = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/.bin/azurite-blob");
        let port = free_port();
        let process = Command::new(program)
            .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"])
            .arg(port.to_string())
            .arg("--location")
            .arg(folder.join("azurite"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start Azurite");
        let azurite = Self { port, process };
        eventually("Azurite answers", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        azurite
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// `Create Container`, which clients of objects have no words for; signed as "Authorize with Shared Key" says.
    pub async fn make_container(&self, name: &str) {
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let text = format!(
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n\
             /{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        );
        let key = STANDARD.decode(KEY).expect("the account's key");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
        let made = reqwest::Client::new()
            .put(format!("{}/{name}?restype=container", self.endpoint()))
            .header("content-length", "0")
            .header("x-ms-date", date)
            .header("x-ms-version", "2021-08-06")
            .header(
                "authorization",
                format!("SharedKey {ACCOUNT}:{}", STANDARD.encode(signature.as_ref())),
            )
            .send()
            .await
            .expect("Azurite");
        assert!(made.status().is_success(), "{}", made.status());
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
