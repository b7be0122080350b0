//! The files that can be read: those that are here, and those that are being fetched, each once for however many ask.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use super::about::About;
use super::flight::{Flight, Progress, begun};
use super::problem::Problem;
use super::store::{InUse, Store, write_about};
use crate::client::error::Failure;
use crate::client::output::complain;
use crate::client::pull::download::{ExistingFiles, fetch_before, is_complete};
use crate::client::pull::fetch_plan::PlannedFile;
use crate::client::trust::source::Source;
use crate::file_system;
use crate::model::Digest;

/// The number of files that are fetched at once. Others wait.
const AT_ONCE: usize = 16;

/// The time limit of a question about a file.
const LIMIT: Duration = Duration::from_secs(20);

/// A file that was signed, and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The path below the tree's root.
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

/// A file that can be read.
#[derive(Debug)]
pub struct Opened {
    pub file: Arc<File>,
    pub about: About,
    /// The fetch under way, and its beginning.
    pub arriving: Option<(watch::Receiver<Progress>, u32)>,
    pub readers: Option<InUse>,
}

/// The files, and the place that the missing ones are fetched from.
#[derive(Debug)]
pub struct Library {
    source: Source,
    turns: Semaphore,
    /// Held by whoever makes sure that a file is what it was: once is enough.
    checking: tokio::sync::Mutex<()>,
    holdings: Mutex<Holdings>,
}

#[derive(Debug)]
struct Holdings {
    store: Store,
    flights: HashMap<Digest, (Arc<Flight>, AbortHandle)>,
}

impl Library {
    pub fn new(source: Source, store: Store) -> Arc<Self> {
        let holdings = Mutex::new(Holdings { store, flights: HashMap::new() });
        Arc::new(Self {
            source,
            turns: Semaphore::new(AT_ONCE),
            checking: tokio::sync::Mutex::default(),
            holdings,
        })
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file to be read from `from` on. If it is not here, it is fetched; then this waits for the first byte.
    pub async fn open(self: &Arc<Self>, wanted: &Wanted, from: u64) -> Result<Opened, Problem> {
        let (flight, mut watched) = loop {
            if let Some(opened) = self.find(wanted).await? {
                return Ok(opened);
            }
            // It may have arrived since.
            if let Some(flight) = self.flight(wanted) {
                break flight;
            }
        };
        let now = begun(&mut watched, wanted.size, from).await?;
        let file = self.arriving(wanted.digest).map_err(|error| not_readable(&error))?;
        let arriving = now.end.is_none().then_some((watched, now.beginning));
        let about = now.about.unwrap_or_default();
        let readers = Some(InUse::clone(&flight.readers));
        Ok(Opened { file: Arc::new(file), about, arriving, readers })
    }

    /// Opens a file that is here. The first time, it is made sure that it is what it was.
    async fn find(&self, wanted: &Wanted) -> Result<Option<Opened>, Problem> {
        let found = self.holdings().store.find(wanted.digest, wanted.size);
        let Some(found) = found else { return Ok(None) };
        if !found.is_checked {
            // One who asks makes sure for all.
            let _turn = self.checking.lock().await;
            let again = self.holdings().store.find(wanted.digest, wanted.size);
            match again {
                None => return Ok(None),
                Some(again) if again.is_checked => {}
                Some(_) if self.is_what_it_was(wanted).await? => {
                    self.holdings().store.has_checked(wanted.digest);
                }
                Some(_) => {
                    complain(&format!(
                        "imagedepot: {} was damaged here, and is fetched again",
                        wanted.path
                    ));
                    self.holdings().store.remove(wanted.digest);
                    return Ok(None);
                }
            }
        }
        let (file, about, readers) = (found.file, found.about, Some(found.readers));
        Ok(Some(Opened { file, about, arriving: None, readers }))
    }

    async fn is_what_it_was(&self, wanted: &Wanted) -> Result<bool, Problem> {
        let refused = |failure: Failure| Problem::from(&failure);
        let folder = self.holdings().store.folder().to_owned();
        let planned = self.planned(wanted).map_err(refused)?;
        let (note, bar) = (ExistingFiles::TrustNote, ProgressBar::hidden());
        is_complete(&planned, &folder, note, &bar).await.map_err(refused)
    }

    /// Returns the fetch of a file, watched, which begins now if there is none; none if the file is here. It goes on
    /// whoever leaves.
    fn flight(
        self: &Arc<Self>,
        wanted: &Wanted,
    ) -> Option<(Arc<Flight>, watch::Receiver<Progress>)> {
        let mut holdings = self.holdings();
        let digest = wanted.digest;
        if holdings.store.has(digest, wanted.size) {
            return None;
        }
        if let Some((flight, _)) =
            holdings.flights.get(&digest).filter(|(flight, _)| !flight.has_ended())
        {
            return Some((Arc::clone(flight), flight.watch()));
        }
        let flight = Flight::new(wanted.size, None);
        let watched = flight.watch();
        let (library, wanted, flying) = (Arc::clone(self), wanted.clone(), Arc::clone(&flight));
        let task = tokio::spawn(async move { library.fly(wanted, flying).await });
        holdings.flights.insert(digest, (Arc::clone(&flight), task.abort_handle()));
        Some((flight, watched))
    }

    async fn fly(self: Arc<Self>, wanted: Wanted, flight: Arc<Flight>) {
        let fetched = self.fetch(&wanted, &flight).await;
        let about = flight.about().unwrap_or_default();
        if fetched.is_ok() {
            let (place, written) =
                (self.holdings().store.path_of_about(wanted.digest), about.clone());
            // Without it, upstream is asked again after a restart.
            let _unnoted = spawn_blocking(move || write_about(&place, &written)).await;
        }
        let mut holdings = self.holdings();
        if holdings.flights.get(&wanted.digest).is_some_and(|(own, _)| Arc::ptr_eq(own, &flight)) {
            holdings.flights.remove(&wanted.digest);
        }
        match fetched {
            Ok(()) => {
                let readers = InUse::clone(&flight.readers);
                holdings.store.add(wanted.digest, wanted.size, about, readers);
                flight.end(Ok(()));
            }
            Err(problem) => {
                complain(&format!("imagedepot: {}: {problem}", wanted.path));
                flight.end(Err(problem));
            }
        }
    }

    async fn fetch(&self, wanted: &Wanted, flight: &Arc<Flight>) -> Result<(), Problem> {
        let _turn = self.turns.acquire().await;
        if flight.is_unwatched() {
            return Err(Problem::nobody_waits());
        }
        // Nothing makes room for a file that cannot be had.
        self.about(wanted).await?;
        flight.take_turn();
        let refused = |failure: Failure| Problem::from(&failure);
        let folder = {
            let mut holdings = self.holdings();
            let others = holdings
                .flights
                .iter()
                .filter(|(digest, (other, _))| **digest != wanted.digest && other.has_turn());
            let (coming, missing) = others.fold((0, 0), |(coming, missing), (_, (other, _))| {
                (coming + other.size, missing + other.missing())
            });
            let made = holdings.store.make_room(wanted.digest, wanted.size, coming, missing);
            made.map_err(refused)?;
            holdings.store.folder().to_owned()
        };
        let planned = self.planned(wanted).map_err(refused)?;
        let onlooker = Arc::clone(flight);
        let connection = &self.source.connection;
        let bar = ProgressBar::hidden();
        let fetched = fetch_before(onlooker, connection, &planned, &folder, &bar).await;
        fetched.map(drop).map_err(refused)
    }

    /// Opens a file that is arriving, or has just arrived.
    fn arriving(&self, digest: Digest) -> io::Result<File> {
        let (partial, whole) = {
            let holdings = self.holdings();
            (holdings.store.path_of_partial(digest), holdings.store.path(digest))
        };
        file_system::open(&partial).or_else(|_| file_system::open(&whole))
    }

    /// Returns the headers of a file, which upstream is asked for if they are not known.
    pub async fn about(&self, wanted: &Wanted) -> Result<About, Problem> {
        let known = {
            let holdings = self.holdings();
            let arriving = holdings.flights.get(&wanted.digest);
            holdings.store.about(wanted.digest).or_else(|| arriving?.0.about())
        };
        if let Some(about) = known {
            return Ok(about);
        }
        let refused = |failure: Failure| Problem::from(&failure);
        let url = self.source.url(&wanted.path).map_err(refused)?;
        let connection = &self.source.connection;
        let answer = connection.request(Method::HEAD, url).timeout(LIMIT).send().await;
        let answer = answer.map_err(|error| refused(Failure::line(connection.server(), &error)))?;
        match answer.status() {
            status if status.is_success() => Ok(About::of(answer.headers())),
            StatusCode::GONE => Err(Problem::gone(410)),
            _ => Err(refused(Failure::answered(answer).await)),
        }
    }

    /// Removes a file, and ends its fetch.
    pub fn remove(&self, digest: Digest, problem: &Problem) {
        let mut holdings = self.holdings();
        if let Some((flight, task)) = holdings.flights.remove(&digest) {
            flight.end(Err(problem.clone()));
            task.abort();
        }
        holdings.store.remove(digest);
    }

    /// Removes what nobody has used for too long.
    pub fn sweep(&self) {
        let mut holdings = self.holdings();
        let coming: Vec<Digest> = holdings.flights.keys().copied().collect();
        holdings.store.sweep(&coming);
    }

    /// Returns the bytes that are here, and those that are on their way.
    pub fn bytes(&self) -> (u64, u64) {
        let holdings = self.holdings();
        let missing = holdings.flights.values().map(|(flight, _)| flight.missing()).sum();
        (holdings.store.bytes(), missing)
    }

    fn planned(&self, wanted: &Wanted) -> Result<PlannedFile, Failure> {
        let (url, name) = (self.source.url(&wanted.path)?, wanted.digest.to_hex());
        Ok(PlannedFile::whole(String::new(), name, url, wanted.size, wanted.digest))
    }
}

fn not_readable(error: &io::Error) -> Problem {
    let words = format!("The file cannot be read here: {error}");
    Problem::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "not_readable", words)
}
