//! `imagedepot mirror --on-demand`: a small caching server of a site. It has the names and the metadata of the whole tree,
//! and fetches the bytes of a file once, when it is first asked for.
//!
//! Reading order: `look` keeps the `moment` that is served, and notes what has `left` the tree. `listener` takes
//! connections, and `answer` answers: whose `access` the depot grants, under which `conditions`, with which `body` (a file
//! that is being read is one: `reading`), or with a `problem`. `library` has the files: those in the `store`, and those in
//! `flight`. `site` holds it together.

mod about;
mod access;
mod answer;
mod body;
mod conditions;
mod flight;
mod left;
mod library;
mod listener;
mod look;
mod moment;
mod patient;
mod problem;
mod reading;
mod site;
mod store;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::access::Access;
use self::left::Record;
use self::library::Library;
use self::listener::{Certificate, listen, serve};
use self::look::{Looks, need};
use self::moment::Moment;
use self::site::Site;
use self::store::{Limits, Store};
use super::pace::pause;
use super::told::Told;
use crate::client::bandwidth::Line;
use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::output::{Output, complain};
use crate::client::trust::copy::MetadataCopy;
use crate::client::trust::source::Source;

/// The folder of the files in the mirror's.
const FILES: &str = "files";

/// The flags of a mirror on demand.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "On demand")]
pub struct OnDemandArgs {
    /// Be a caching server of all channels: fetch a file when it is first asked for
    #[arg(long)]
    pub on_demand: bool,

    /// Address to listen on
    #[arg(
        long,
        value_name = "ADDR:PORT",
        requires = "on_demand",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,

    /// Certificate (PEM) of this server with its chain, for https
    #[arg(long, value_name = "FILE", requires_all = ["on_demand", "key"])]
    certificate: Option<PathBuf>,

    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// Most bytes of files to keep, such as 500GB or 20GiB [default: as many as the disk has room for]
    #[arg(long, value_name = "SIZE", requires = "on_demand")]
    most_bytes: Option<ByteSize>,

    /// Time after which a file is removed that nobody has asked for
    #[arg(long, value_name = "TIME", requires = "on_demand", value_parser = humantime::parse_duration, default_value = "30days")]
    unused_for: Duration,
}

/// The tree to serve, and its place here.
#[derive(Debug)]
pub struct Tree<'a> {
    pub server: &'a ServerArgs,
    pub address: &'a str,
    pub root: &'a Path,
    pub folder: &'a Path,
    pub line: Line,
}

/// Serves until it is told to stop.
pub async fn run(
    args: OnDemandArgs,
    tree: Tree<'_>,
    look_every: Duration,
    told: Arc<Told>,
    output: Output,
) -> Result<(), Failure> {
    let Tree { server, address, root, folder, line } = tree;
    let mut metadata = MetadataCopy::open(server, address, root, folder, folder)?;
    metadata.source.connection = metadata.source.connection.on_line(line);
    let certificate = match (args.certificate, args.key) {
        (Some(certificate), Some(key)) => Some(Arc::new(Certificate::read(certificate, key)?)),
        _ => None,
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::local("create", folder, &error))?;
    let record = Record::take(folder)?;
    let limits = Limits {
        most_bytes: args.most_bytes.map(|size| size.as_u64()),
        unused_for: args.unused_for,
    };
    let store = Store::open(&folder.join(FILES), limits)?;
    let listener = listen(args.listen).await?;

    let source = || Source::open(server, address);
    let access = Access::new(Connection::as_nobody(server, source()?.base())?);
    let library = Library::new(metadata.source.clone(), store);
    let mut looks = Looks { metadata, record, picture: None, replaced: BTreeMap::new() };
    let moment = begin(&mut looks).await;
    let site = Arc::new(Site::new(source()?, library, access, folder.to_owned(), moment));
    looks.serve(&site, &told)?;
    say(&args.listen, certificate.is_some(), &site, output)?;

    let looking =
        look_again_and_again(looks, Arc::clone(&site), told, look_every, certificate.clone());
    let looking = tokio::spawn(looking);
    serve(listener, certificate, site, told_to_stop()?).await;
    looking.abort();
    Ok(())
}

/// Begins with the metadata that the folder has. Returns the reason if it cannot be believed any more.
async fn begin(looks: &mut Looks) -> Result<Moment, String> {
    let picture = looks.metadata.load(need).await.map_err(|failure| failure.to_string())?;
    let picture = Arc::new(picture);
    looks.picture = Some(Arc::clone(&picture));
    looks.find_replaced();
    let replaced = looks.replaced.keys().copied().collect();
    Moment::new(picture, replaced, looks.record.left().clone())
        .map_err(|failure| failure.to_string())
}

async fn look_again_and_again(
    mut looks: Looks,
    site: Arc<Site>,
    told: Arc<Told>,
    look_every: Duration,
    certificate: Option<Arc<Certificate>>,
) {
    tokio::spawn({
        let told = Arc::clone(&told);
        async move { told.tell_again_and_again().await }
    });
    loop {
        let looked = looks.look(&site, &told).await;
        let (bytes, missing) = site.library.bytes();
        told.change(|state| (state.bytes, state.bytes_missing) = (bytes, missing));
        let error = looked.as_ref().err().map(ToString::to_string);
        if let Some(words) = &error {
            complain(&format!("imagedepot: {words}; the mirror goes on with what it has"));
        }
        let has_changed = told.change(|state| state.error = error);
        if has_changed || matches!(looked, Ok(true)) {
            told.tell().await;
        }
        if let Some(Err(failure)) = certificate.as_ref().map(|certificate| certificate.read_again())
        {
            complain(&format!("imagedepot: {failure}; the certificate before is used"));
        }
        // Also while the depot is away: what is revoked meanwhile is to go soon after the line is back.
        tokio::time::sleep(pause(look_every, 0)).await;
    }
}

fn say(listen: &SocketAddr, is_secure: bool, site: &Site, output: Output) -> Result<(), Failure> {
    let scheme = if is_secure { "https" } else { "http" };
    let url = format!("{scheme}://{listen}{}", site.alias);
    output.result(&format!("Serving {url}"), &json!({"url": url}))
}

/// Returns what is ready when the mirror is told to stop.
fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Other, format!("cannot listen for signals: {error}"))
        })
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
