//! Handles Ctrl-C and reports what it means for the interrupted job.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::Failure;
use super::exit_code::Exit;

/// A listener for Ctrl-C. It listens from its creation; a Ctrl-C between two waits is kept for the second one.
#[derive(Debug)]
pub struct Interrupt {
    signal: Signal,
}

impl Interrupt {
    /// Starts listening. From now on Ctrl-C ends nothing by itself, so everything that takes time must be awaited with
    /// [`unless`](Self::unless) or beside [`pressed`](Self::pressed).
    pub fn listen() -> Result<Self, Failure> {
        let signal = signal(SignalKind::interrupt()).map_err(|error| {
            Failure::new(Exit::Other, format!("cannot listen for Ctrl-C: {error}"))
        })?;
        Ok(Self { signal })
    }

    /// Waits for Ctrl-C.
    pub async fn pressed(&mut self) {
        let _one = self.signal.recv().await;
    }

    /// Waits until the work is done or Ctrl-C ends it; `meaning` tells the user what state that leaves.
    pub async fn unless<T>(
        &mut self,
        meaning: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.pressed() => {
                Err(Failure::new(Exit::Interrupted, "interrupted").with_hint(meaning))
            }
        }
    }
}
