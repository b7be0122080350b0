//! Work on a blocking thread whose result is not lost when the one who waits for it is.
//!
//! A request's future may be dropped at any await. Taking a `JoinHandle` out first and awaiting it then
//! would forget a write that is still on its way, and the next one would take its place in the file.

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

pub(super) enum Pending<T> {
    Running(JoinHandle<T>),
    Ended(Result<T, JoinError>),
}

impl<T: Send + 'static> Pending<T> {
    pub(super) fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::Running(spawn_blocking(work))
    }

    /// Waits for the end. May be given up and called again.
    pub(super) async fn ended(&mut self) {
        if let Self::Running(task) = self {
            let result = task.await;
            *self = Self::Ended(result);
        }
    }

    /// The result; an error where it has not ended, which only a defect here brings about.
    pub(super) fn result(self) -> Result<T, String> {
        match self {
            Self::Ended(result) => result.map_err(|error| error.to_string()),
            Self::Running(_) => Err("the work has not ended".to_owned()),
        }
    }
}
