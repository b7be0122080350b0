//! Ctrl-C, told as what it means for the job that it stops.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::Failure;
use super::exit_code::Exit;

/// Listens from its making on; a Ctrl-C between two waits is kept for the second one.
#[derive(Debug)]
pub struct Interrupt {
    signal: Signal,
}

impl Interrupt {
    /// From now on Ctrl-C ends nothing by itself: what takes time has to be waited for with
    /// [`unless`](Self::unless).
    pub fn listen() -> Result<Self, Failure> {
        let signal = signal(SignalKind::interrupt()).map_err(|error| {
            Failure::new(Exit::Other, format!("cannot listen for Ctrl-C: {error}"))
        })?;
        Ok(Self { signal })
    }

    /// The work's own end, or the end of the work; `meaning` says what the person has then.
    pub async fn unless<T>(
        &mut self,
        meaning: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            _ = self.signal.recv() => {
                Err(Failure::new(Exit::Interrupted, "interrupted").with_hint(meaning))
            }
        }
    }
}
