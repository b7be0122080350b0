//! Work on a blocking thread whose result survives the future that waits for it.
//!
//! A request's future may be dropped at any await. If the `JoinHandle` were taken out first and awaited then, a write
//! in progress would be forgotten, and the next one would take its place in the file.

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

pub(super) enum Pending<T> {
    Running(JoinHandle<T>),
    Ended(Result<T, JoinError>),
}

impl<T: Send + 'static> Pending<T> {
    pub(super) fn start(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::Running(spawn_blocking(work))
    }

    /// Waits for the end. The call may be dropped and repeated.
    pub(super) async fn ended(&mut self) {
        if let Self::Running(task) = self {
            let result = task.await;
            *self = Self::Ended(result);
        }
    }

    /// Returns the result, or an error if the work has not ended, which only a defect here can cause.
    pub(super) fn result(self) -> Result<T, String> {
        match self {
            Self::Ended(result) => result.map_err(|error| error.to_string()),
            Self::Running(_) => Err("the work has not ended".to_owned()),
        }
    }
}
