#!/usr/bin/env bash
# sqlx names its prepared statements even where their cache is switched off, so `statement-cache-capacity=0` is no way through a pooler
# that gives each transaction another connection.
#
# Versions: sqlx 0.9.0 (PostgreSQL, tokio), pgbouncer 1.18 or older than 1.21 (Debian 12's), PostgreSQL 15.
# Expected: with a capacity of 0 a statement is prepared without a name, as other drivers do it, and pool_mode = transaction works.
# Seen: the second client connection that comes to the same server connection fails with 42P05, prepared statement "sqlx_s_1" already
#   exists. Only `query(…).persistent(false)` leaves the name out.
# Fails if the behaviour changes. Needs root or the user postgres, cargo, the network, and Debian's postgresql and pgbouncer.
set -euo pipefail
folder=$(mktemp -d)
chmod 755 "$folder"
as_postgres=()
if [ "$(id -u)" = 0 ]; then
    apt-get install --yes --quiet=2 --no-install-recommends postgresql pgbouncer >/dev/null
    as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
trap '"${as_postgres[@]}" "$programs/pg_ctl" -D "$folder/pg/data" -m immediate stop >/dev/null 2>&1 || true
      kill "${pooler-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/pg"
[ "$(id -u)" != 0 ] || chown postgres "$folder/pg"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
database=$(port)
front=$(port)
cd /
"${as_postgres[@]}" "$programs/initdb" -D "$folder/pg/data" --username=postgres --auth=trust --no-sync >/dev/null
"${as_postgres[@]}" "$programs/pg_ctl" -D "$folder/pg/data" -l "$folder/pg/log" -w start >/dev/null \
    -o "-c port=$database -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
cat >"$folder/pgbouncer.ini" <<INI
[databases]
postgres = host=127.0.0.1 port=$database user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $front
auth_type = any
pool_mode = transaction
default_pool_size = 1
unix_socket_dir =
ignore_startup_parameters = extra_float_digits
INI
"${as_postgres[@]}" pgbouncer --version | head -1
"${as_postgres[@]}" pgbouncer --quiet "$folder/pgbouncer.ini" 2>/dev/null &
pooler=$!
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = ["runtime-tokio", "postgres"] }
tokio = { version = "1", features = ["rt", "macros"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use sqlx::{Connection, PgConnection};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    for persistent in [true, false] {
        let mut first = PgConnection::connect(&url).await.unwrap();
        let mut second = PgConnection::connect(&url).await.unwrap();
        let ask = |persistent| sqlx::query("select $1::bigint").bind(1_i64).persistent(persistent);
        let one = ask(persistent).execute(&mut first).await.map(drop);
        let two = ask(persistent).execute(&mut second).await.map(drop);
        let code = two.err().and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
        println!("persistent={persistent} first={} second={code:?}", one.is_ok());
    }
}
RUST
cargo build --quiet --manifest-path "$folder/Cargo.toml"
said=$("$folder/target/debug/finding" "postgres://postgres@127.0.0.1:$front/postgres?statement-cache-capacity=0")
echo "$said"
[ "$said" = 'persistent=true first=true second=Some("42P05")
persistent=false first=true second=None' ]
