#!/usr/bin/env bash
# The client that openapi-generator makes for Rust sends a file without saying how long it is, nor what it is.
#
# Version: openapi-generator-cli 7.26.0 from PyPI, generator `rust` with library=reqwest, and what cargo resolves beside it.
# Expected: the operation takes a path, so the length of the file is known, and the description names application/octet-stream: a request with
#   Content-Length and that Content-Type, as the generators for Python, Go and Java send it.
# Seen: Transfer-Encoding: chunked, no Content-Length, no Content-Type.
# Why it matters: servers that want a length answer 411, those that go by the type 415, and nothing in the generated code hints at it.
# Fails if the behaviour changes. Needs python3 with venv, a JDK, cargo and the network.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openapi-generator-cli==7.26.0
cat >"$folder/api.json" <<'JSON'
{"openapi": "3.1.0", "info": {"title": "files", "version": "1"}, "paths": {"/file": {"put": {"operationId": "put_file", "tags": ["files"],
 "requestBody": {"required": true, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
 "responses": {"204": {"description": "taken"}}}}}}
JSON
"$folder/venv/bin/openapi-generator-cli" generate --generator-name rust --input-spec "$folder/api.json" --output "$folder/client" \
    --additional-properties packageName=files_client,library=reqwest >"$folder/log" 2>&1
mkdir "$folder/client/examples"
cat >"$folder/client/examples/put.rs" <<'RUST'
use files_client::apis::{configuration::Configuration, files_api::put_file};

#[tokio::main]
async fn main() {
    let [address, file] = [1, 2].map(|number| std::env::args().nth(number).unwrap());
    let configuration = Configuration { base_path: address, ..Configuration::new() };
    put_file(&configuration, file.into()).await.unwrap();
}
RUST
cat >>"$folder/client/Cargo.toml" <<'TOML'

[dev-dependencies]
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[workspace]
TOML
cargo build --quiet --manifest-path "$folder/client/Cargo.toml" --no-default-features --example put 2>>"$folder/log"
cat >"$folder/server.py" <<'PYTHON'
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        names = ("transfer-encoding", "content-length", "content-type")
        print({name: self.headers.get(name) for name in names}, flush=True)
        while (size := int(self.rfile.readline(), 16)) > 0:
            self.rfile.read(size + 2)
        self.rfile.readline()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.handle_request()
PYTHON
python3 "$folder/server.py" >"$folder/seen" &
server=$!
until [ -s "$folder/seen" ]; do sleep 0.1; done
head --bytes 100000 /dev/zero >"$folder/file"
"$folder/client/target/debug/examples/put" "http://127.0.0.1:$(head -1 "$folder/seen")" "$folder/file"
tail -1 "$folder/seen"
[ "$(tail -1 "$folder/seen")" = "{'transfer-encoding': 'chunked', 'content-length': None, 'content-type': None}" ]
