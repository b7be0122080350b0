//! The foundation of the tests: the real server in a folder of its own, a real PostgreSQL, and people who use the
//! server over HTTP.
//!
//! Read in this order: [`database`] (on what a test runs), [`postgres`] (the throw-away cluster; [`own_postgres`] is one to be stopped),
//! [`bucket`] (an S3 server, or [`azurite`]), [`server`] (the process), [`depot`] (a server with its data folder, the start of each test),
//! [`person`] and [`actions`] (who calls, and what they do), [`answer`] (what they are told).
//! [`raw`] sends what a well-behaved HTTP library refuses to send, [`multipart`] takes answers to
//! several ranges apart, [`resuming`] uploads and goes on after whatever breaks, [`bits_client`] does the
//! same as Windows does, [`authority`] and [`issued`] make certificates and [`tls_client`] uses them, [`issuer`] is
//! an OpenID Connect provider, `kdc` a Kerberos realm, [`folder`] and [`watch`] look at files, [`channel_folder`] says which belong into the tree, [`command`] runs
//! other programs, [`event_stream`] reads events, [`webhook_receiver`] is sent them, [`sample`] makes bytes, [`broken_link`] is a network that fails, [`faulty_store`] a bucket that does ([`exchange`] is one request to it), [`small_disk`] a disk to fill.
//!
//! Nothing here uses the library: a test sees what a user sees.

pub mod actions;
pub mod answer;
pub mod authority;
pub mod azurite;
pub mod bits_client;
pub mod broken_link;
pub mod bucket;
pub mod channel_folder;
pub mod command;
pub mod database;
pub mod depot;
pub mod event_stream;
pub mod exchange;
pub mod faulty_store;
pub mod folder;
pub mod issued;
pub mod issuer;
#[cfg(feature = "negotiate")]
pub mod kdc;
pub mod multipart;
pub mod nginx;
pub mod own_postgres;
pub mod person;
pub mod pooler;
pub mod postgres;
pub mod project;
pub mod raw;
pub mod resuming;
pub mod sample;
pub mod server;
pub mod small_disk;
pub mod static_site;
pub mod tls_client;
pub mod watch;
pub mod webhook_receiver;
pub mod wine;

pub use answer::Answer;
pub use database::{Database, Store};
pub(crate) use database::{on_both_databases, on_both_databases_and_stores};
pub use depot::Depot;
#[cfg(feature = "negotiate")]
pub use depot::DepotSetup;
pub use person::Person;

use std::future::Future;
use std::time::{Duration, Instant};

/// Reports whether full sizes and counts are asked for (`tests/run --long`).
pub fn is_long_run() -> bool {
    std::env::var_os("IMAGEDEPOT_TEST_LONG").is_some_and(|value| value == "1")
}

/// Waits until `condition` gives a value; fails with `what` after half a minute.
///
/// For what the contract lets happen a little later. What must hold at once is asserted at once.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
