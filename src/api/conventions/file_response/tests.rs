//! File downloads over real TCP: a server with one file in every kind of source, and a client.

mod bits_rules;
mod rfc_9110;

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use actix_web::{App, HttpRequest, HttpServer, web};
use bytes::Bytes;
use chrono::DateTime;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, path};
use reqwest::Response;

use super::{ContentIdentity, ServedFile, respond};
use crate::model::Digest;
use crate::storage::blobs::BlobReader;

/// Longer than two reads, so that ranges cross the boundaries between them.
static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(1_300_007).collect()
});
const SEALED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const SOURCES: [&str; 3] = ["local", "remote", "memory"];

fn served(reader: BlobReader) -> ServedFile {
    ServedFile {
        reader,
        identity: ContentIdentity::Bytes(Digest::of(&CONTENT)),
        last_modified: DateTime::from_timestamp(784_111_777, 500_000_000),
        content_type: "application/octet-stream".into(),
        cache_control: "public, max-age=31536000, immutable",
    }
}

fn on_disk(content: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Arc::new(file)
}

/// Starts a server with the same file from a disk, from a store and from memory, and truncated on a disk and in a
/// store.
async fn start() -> Client {
    let store = Arc::new(InMemory::new());
    let path = path::Path::from("blob");
    store.put(&path, Bytes::from_static(&CONTENT).into()).await.unwrap();
    let size = CONTENT.len() as u64;
    let files = [
        ("/local", BlobReader::local(on_disk(&CONTENT), size)),
        ("/remote", BlobReader::remote(store.clone(), path.clone(), size)),
        ("/memory", BlobReader::bytes(Bytes::from_static(&CONTENT))),
        ("/torn", BlobReader::local(on_disk(&CONTENT[..900_000]), size)),
        ("/torn-remote", BlobReader::remote(store, path, size + 5)),
    ];
    let server = HttpServer::new(move || {
        files.iter().fold(App::new(), |app, (path, reader)| {
            let reader = reader.clone();
            let answer = move |request: HttpRequest| {
                let reader = reader.clone();
                async move { respond(&request, served(reader)).await }
            };
            app.route(path, web::route().to(answer))
        })
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let base = format!("http://{}", server.addrs()[0]);
    actix_web::rt::spawn(server.run());
    Client { http: reqwest::Client::new(), base }
}

struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    async fn get(&self, source: &str, fields: &[(&str, &str)]) -> Response {
        self.send(reqwest::Method::GET, source, fields).await
    }

    async fn head(&self, source: &str, fields: &[(&str, &str)]) -> Response {
        self.send(reqwest::Method::HEAD, source, fields).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        source: &str,
        fields: &[(&str, &str)],
    ) -> Response {
        self.try_send(method, source, fields).await.unwrap()
    }

    async fn try_send(
        &self,
        method: reqwest::Method,
        source: &str,
        fields: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let mut request = self.http.request(method, format!("{}/{source}", self.base));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await
    }
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn etag() -> String {
    format!("\"sha256-{}\"", Digest::of(&CONTENT).to_hex())
}
