#!/usr/bin/env bash
# actix-web refuses a POST of HTTP/1.0 that has no Content-Length, before any handler, middleware or log sees it.
#
# Version: actix-web 4.18.1 with actix-http 3.20.0 and what cargo resolves beside them.
# Expected: RFC 9112 section 6.3 (7) gives a request without length and without chunks an empty body, in either version; HTTP/1.0's own
#   wish for a length (RFC 1945 section 7.2.2) is for requests that have a body.
# Seen: 400 with an empty body to HTTP/1.0, 200 to the same request of HTTP/1.1.
# Why it matters: nginx speaks HTTP/1.0 to its upstream unless told otherwise, so every POST without a body fails behind its defaults.
# Fails if the behaviour changes. Needs cargo, curl and the network.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
actix-web = { version = "=4.18.1", default-features = false, features = ["macros"] }
actix-http = { version = "=3.20.0", default-features = false }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use actix_web::{App, HttpResponse, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(HttpResponse::Ok))).workers(1);
    let server = server.bind(("127.0.0.1", 0))?;
    println!("{}", server.addrs()[0].port());
    server.run().await
}
RUST
cargo build --quiet --manifest-path "$folder/Cargo.toml"
"$folder/target/debug/finding" >"$folder/port" &
server=$!
until [ -s "$folder/port" ]; do sleep 0.1; done
port=$(cat "$folder/port")
status() {
    curl --silent --output /dev/null --write-out '%{http_code}' --request POST "$1" "http://127.0.0.1:$port/"
}
old=$(status --http1.0)
new=$(status --http1.1)
echo "POST without a length: HTTP/1.0 $old, HTTP/1.1 $new"
[ "$old $new" = "400 200" ]
