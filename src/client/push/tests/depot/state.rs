//! The depot's contents, the requests it received, and the faults it is to have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::{Barrier, Notify};

#[derive(Debug)]
pub struct Depot {
    pub image: Option<Value>,
    /// The number of the newest revision.
    pub number: u64,
    pub state: &'static str,
    pub files: Vec<Value>,
    pub asked: Vec<String>,
    /// The faults. Each happens once, to an upload of its role, in this order.
    pub faults: Vec<(&'static str, Fault)>,
    /// Stores other bytes than those that arrived.
    pub corrupt: bool,
    /// Takes bytes only when this many uploads are under way.
    pub together: Option<Arc<Barrier>>,
    /// Notified when a fault holds an upload.
    pub held: Arc<Notify>,
    pub release: Arc<Notify>,
    pub sessions: BTreeMap<String, Session>,
}

pub type Shared = Arc<Mutex<Depot>>;

impl Default for Depot {
    fn default() -> Self {
        Self {
            image: None,
            number: 6,
            state: "none",
            files: Vec::new(),
            asked: Vec::new(),
            faults: Vec::new(),
            corrupt: false,
            together: None,
            held: Arc::default(),
            release: Arc::default(),
            sessions: BTreeMap::new(),
        }
    }
}

impl Depot {
    /// Returns how often a request with this beginning was received.
    pub fn count(&self, request: &str) -> usize {
        self.asked.iter().filter(|asked| asked.starts_with(request)).count()
    }

    pub fn received(&self, role: &str) -> usize {
        self.sessions.values().find(|session| session.role == role).map_or(0, |of| of.bytes.len())
    }
}

/// A fault of a PATCH, which happens after the given number of bytes was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks.
    Cut {
        after: usize,
    },
    /// Nothing more is taken until [`Depot::release`].
    Hold {
        after: usize,
    },
    /// All but the first bytes are lost, as by a power failure; the answer contains the offset.
    FallBack {
        to: usize,
    },
    /// The session is forgotten.
    Lose,
    /// The whole file is taken, and the answer does not arrive.
    DropAnswer,
    /// The whole file is taken, the answer does not arrive, and the session is forgotten afterwards.
    DropAnswerAndSession,
    Refuse(u16, &'static str),
}

#[derive(Debug)]
pub struct Session {
    pub role: String,
    pub size: usize,
    pub bytes: Vec<u8>,
    pub complete: bool,
}
