//! The connection of an agent that runs for months: tokens and certificates are renewed meanwhile.
//!
//! One connection is used for all rounds, so that TLS sessions are resumed. It is opened again when one of the files that
//! it was opened with has changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::ours::file_must_be_ours;
use crate::client::connection::Connection;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::trust::tree::TreePlace;

/// The place of a tree, and the root that is trusted there.
#[derive(Debug, Clone)]
pub struct TreeAddress {
    pub url: String,
    pub root: PathBuf,
    /// The folder of the record of what was seen.
    pub state: PathBuf,
}

/// The way to a depot, the arguments that it was opened with, and the state of their files then.
#[derive(Debug, Clone)]
pub struct Link {
    pub peer: Peer,
    server: ServerArgs,
    tree: Option<TreeAddress>,
    files: Vec<Option<Stamp>>,
}

/// The other end.
#[derive(Debug, Clone)]
pub enum Peer {
    /// A server to ask. If a tree is set, what the server offers has to be signed there.
    Server(Connection, Option<Box<TreePlace>>),
    /// A tree alone.
    Tree(TreePlace),
}

/// The state of a file: its number, size and date.
type Stamp = (u64, u64, i64, i64);

impl Link {
    pub fn to_server(server: &ServerArgs, tree: Option<TreeAddress>) -> Result<Self, Failure> {
        let files = stamps(server, tree.as_ref());
        let signed = tree.as_ref().map(|tree| tree.open(server)).transpose()?.map(Box::new);
        let peer = Peer::Server(Connection::open(server)?, signed);
        Ok(Self { peer, server: server.clone(), tree, files })
    }

    pub fn to_tree(server: &ServerArgs, tree: TreeAddress) -> Result<Self, Failure> {
        let files = stamps(server, Some(&tree));
        let peer = Peer::Tree(tree.open(server)?);
        Ok(Self { peer, server: server.clone(), tree: Some(tree), files })
    }

    /// The connection for files.
    pub const fn connection(&self) -> &Connection {
        match &self.peer {
            Peer::Server(connection, _) => connection,
            Peer::Tree(place) => place.connection(),
        }
    }

    /// Opens the connection again if a file that it was opened with has changed.
    pub fn renew(&mut self) -> Result<(), Failure> {
        if self.files == stamps(&self.server, self.tree.as_ref()) {
            return Ok(());
        }
        *self = match (&self.peer, self.tree.clone()) {
            (Peer::Tree(_), Some(tree)) => Self::to_tree(&self.server, tree)?,
            (_, tree) => Self::to_server(&self.server, tree)?,
        };
        Ok(())
    }
}

impl TreeAddress {
    fn open(&self, server: &ServerArgs) -> Result<TreePlace, Failure> {
        file_must_be_ours(&self.root)?;
        Ok(TreePlace::new(server, &self.url, &self.root)?.with_state_in(self.state.clone()))
    }
}

fn stamps(server: &ServerArgs, tree: Option<&TreeAddress>) -> Vec<Option<Stamp>> {
    let environment = |name: &str| std::env::var_os(name);
    let stamp = |path: PathBuf| {
        let about = fs::metadata(path).ok()?;
        Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
    };
    let root = tree.map(|tree| tree.root.clone());
    server.files(&environment).into_iter().chain(root).map(stamp).collect()
}
