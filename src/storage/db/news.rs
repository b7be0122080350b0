//! The news of changes by other processes, if the database sends them.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::database::Db;

/// The name of PostgreSQL's notification channel for changes of the catalog.
pub const CHANNEL: &str = "imagedepot_catalog";

/// The interval between attempts to listen after a failure.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// The time limit for one attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// The source of news of changes by other processes.
pub enum News {
    /// SQLite sends no news: a caller that wants to know has to look.
    None,
    Postgres(NewsListener),
}

/// The connection to PostgreSQL that listens, if there is one now.
pub struct NewsListener {
    pool: PgPool,
    listener: Option<Box<PgListener>>,
    /// The attempt to open it, which nobody waits for: meanwhile the caller looks by itself.
    attempt: JoinSet<Option<PgListener>>,
    try_at: Instant,
}

impl News {
    /// Returns when something has changed, or after `at_most`. Without a connection that listens it waits for all of
    /// that time, after which the caller looks by itself.
    pub async fn wait(&mut self, at_most: Duration) {
        let started = Instant::now();
        let heard = match self {
            Self::None => false,
            Self::Postgres(listener) => listener.hears(at_most).await,
        };
        if !heard {
            sleep_until(started + at_most).await;
        }
    }
}

impl NewsListener {
    /// Begins to open the connection if it is time, and reports whether it is open.
    fn opens(&mut self) -> bool {
        if self.attempt.is_empty() && self.try_at <= Instant::now() {
            self.try_at = Instant::now() + TRY_EVERY;
            let attempt = timeout(PATIENCE, listen(self.pool.clone()));
            self.attempt.spawn(async move { attempt.await.ok().flatten() });
        }
        if let Some(Ok(opened)) = self.attempt.try_join_next() {
            self.listener = opened.map(Box::new);
        }
        self.listener.is_some()
    }

    /// Reports whether any news came in this time.
    async fn hears(&mut self, at_most: Duration) -> bool {
        if self.listener.is_none() && !self.opens() {
            return false;
        }
        let Some(listener) = &mut self.listener else { return false };
        match timeout(at_most, listener.try_recv()).await {
            Ok(Ok(Some(_))) => true,
            // The connection is lost. The next call begins to open another one.
            Ok(Ok(None) | Err(_)) => {
                self.listener = None;
                false
            }
            Err(_) => false,
        }
    }
}

async fn listen(pool: PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(&pool).await.ok()?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.ok()?;
    Some(listener)
}

impl Db {
    /// Returns the source of news about changes by other processes.
    pub fn news(&self) -> News {
        match self {
            Self::Sqlite { .. } => News::None,
            Self::Postgres(pool) => News::Postgres(NewsListener {
                pool: pool.clone(),
                listener: None,
                attempt: JoinSet::new(),
                try_at: Instant::now(),
            }),
        }
    }
}
