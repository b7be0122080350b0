//! The number of open streams, in total and for each caller. Each costs a connection and some memory for as long as its
//! reader likes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::metric;

/// The most streams of this server.
const MOST: usize = 10_000;

/// The most streams of one caller.
const MOST_OF_CALLER: usize = 2000;

/// The streams that are open. It is cheap to clone and shared by all workers.
#[derive(Clone, Default)]
pub struct OpenStreams(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_caller: HashMap<String, usize>,
}

impl OpenStreams {
    /// Counts a stream until its place is dropped. None if there are too many.
    pub fn enter(&self, caller: &str) -> Option<StreamPlace> {
        let mut counts = self.lock();
        let own = counts.by_caller.get(caller).copied().unwrap_or(0);
        if counts.all >= MOST || own >= MOST_OF_CALLER {
            return None;
        }
        counts.all += 1;
        counts.by_caller.insert(caller.to_owned(), own + 1);
        metric::EVENT_STREAMS.increment();
        Some(StreamPlace { streams: self.clone(), caller: caller.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of an open stream.
pub struct StreamPlace {
    streams: OpenStreams,
    caller: String,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut counts = self.streams.lock();
        counts.all -= 1;
        if let Some(own) = counts.by_caller.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                counts.by_caller.remove(&self.caller);
            }
        }
        metric::EVENT_STREAMS.decrement();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_share_and_gets_places_back() {
        let streams = OpenStreams::default();
        let mut places: Vec<_> =
            (0..MOST_OF_CALLER).map(|_| streams.enter("kim").expect("a place")).collect();
        assert!(streams.enter("kim").is_none());
        let _other = streams.enter("lee").expect("a place for another caller");
        places.pop();
        assert!(streams.enter("kim").is_some());
        drop(places);
        assert_eq!(streams.lock().by_caller.keys().collect::<Vec<_>>(), ["lee"]);
    }
}
