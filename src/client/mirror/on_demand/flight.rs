//! A file that is being fetched, once for however many ask for it, and read while it arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::HeaderMap;
use tokio::sync::watch;

use super::about::About;
use super::problem::Problem;
use super::store::InUse;
use crate::client::pull::download::Onlooker;

/// The state of a fetch.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Rises when what could be read turned out not to be part of the file.
    pub beginning: u32,
    /// The bytes that can be read from the unfinished file.
    pub readable: u64,
    /// Known from the first answer on.
    pub about: Option<About>,
    pub end: Option<Result<(), Problem>>,
}

/// A fetch under way.
#[derive(Debug)]
pub struct Flight {
    pub size: u64,
    /// Kept by those who read the file, also after it has arrived.
    pub readers: InUse,
    has_turn: AtomicBool,
    progress: watch::Sender<Progress>,
}

impl Flight {
    pub fn new(size: u64, about: Option<About>) -> Arc<Self> {
        let progress = Progress { about, ..Progress::default() };
        let progress = watch::Sender::new(progress);
        Arc::new(Self {
            size,
            readers: InUse::default(),
            has_turn: AtomicBool::new(false),
            progress,
        })
    }

    /// Notes that its turn has come.
    pub fn take_turn(&self) {
        self.has_turn.store(true, Ordering::Relaxed);
    }

    pub fn has_turn(&self) -> bool {
        self.has_turn.load(Ordering::Relaxed)
    }

    /// Reports whether nobody waits for it.
    pub fn is_unwatched(&self) -> bool {
        self.progress.receiver_count() == 0
    }

    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub fn has_ended(&self) -> bool {
        self.progress.borrow().end.is_some()
    }

    pub fn about(&self) -> Option<About> {
        self.progress.borrow().about.clone()
    }

    /// Returns the bytes that are still to come.
    pub fn missing(&self) -> u64 {
        self.size.saturating_sub(self.progress.borrow().readable)
    }

    /// Ends the fetch for all who read. The first end counts.
    pub fn end(&self, end: Result<(), Problem>) {
        self.progress.send_modify(|progress| {
            progress.end.get_or_insert(end);
        });
    }
}

impl Onlooker for Flight {
    fn answered(&self, headers: &HeaderMap) {
        let about = About::of(headers);
        self.progress.send_modify(|progress| progress.about = Some(about));
    }

    fn written(&self, length: u64) {
        self.progress.send_modify(|progress| progress.readable = length);
    }

    fn begun_anew(&self) {
        self.progress.send_modify(|progress| {
            progress.beginning += u32::from(progress.readable > 0);
            progress.readable = 0;
        });
    }
}

/// Waits until the byte at `from` can be read, and returns the end of what can. The last byte of the file can be read
/// when the file was verified. None if the bytes that were read since `beginning` are not those of the file, or if no
/// more come.
pub async fn readable(
    watched: &mut watch::Receiver<Progress>,
    size: u64,
    from: u64,
    beginning: u32,
) -> Option<u64> {
    let ready = watched
        .wait_for(|now| {
            now.end.is_some() || now.beginning != beginning || now.readable.min(size - 1) > from
        })
        .await
        .ok()?;
    match &ready.end {
        _ if ready.beginning != beginning => None,
        Some(Ok(())) => Some(size),
        Some(Err(_)) => None,
        None => Some(ready.readable.min(size - 1)),
    }
}

/// Waits until something can be said of a read that begins at `from`.
pub async fn begun(
    watched: &mut watch::Receiver<Progress>,
    size: u64,
    from: u64,
) -> Result<Progress, Problem> {
    let last = size.saturating_sub(1);
    let ready = watched.wait_for(|now| now.end.is_some() || now.readable.min(last) > from).await;
    let ready = ready.map_err(|_| Problem::not_found())?;
    match &ready.end {
        Some(Err(problem)) => Err(problem.clone()),
        _ => Ok(ready.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_byte_waits_for_the_verification() {
        let flight = Flight::new(100, None);
        let mut watched = flight.watch();
        flight.written(40);
        assert_eq!(readable(&mut watched, 100, 0, 0).await, Some(40));
        flight.written(100);
        assert_eq!(readable(&mut watched, 100, 40, 0).await, Some(99));
        flight.end(Ok(()));
        assert_eq!(readable(&mut watched, 100, 99, 0).await, Some(100));
    }

    #[tokio::test]
    async fn whoever_has_read_of_another_file_is_cut_off() {
        let flight = Flight::new(100, None);
        let mut watched = flight.watch();
        flight.begun_anew();
        assert_eq!(watched.borrow().beginning, 0, "nothing could be read yet");
        flight.written(40);
        flight.begun_anew();
        flight.written(60);
        assert_eq!(readable(&mut watched, 100, 40, 0).await, None);
        assert_eq!(readable(&mut watched, 100, 0, 1).await, Some(60));
        flight.end(Err(Problem::not_found()));
        assert_eq!(readable(&mut watched, 100, 60, 1).await, None);
        assert_eq!(begun(&mut watched, 100, 0).await.unwrap_err(), Problem::not_found());
    }
}
