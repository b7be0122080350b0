//! News of changes by other processes, where the database tells of them.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::time::{Instant, sleep_until, timeout};

use super::database::Db;

/// PostgreSQL's name for the news that the catalog changed.
pub const CHANNEL: &str = "imagedepot_catalog";

/// How often it is tried to listen, where that failed.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the database tells of other processes' changes by itself.
pub enum News {
    /// SQLite does not: whoever wants to know asks.
    None,
    Postgres(Ear),
}

/// A connection of PostgreSQL's that listens, if there is one now.
pub struct Ear {
    pool: PgPool,
    listener: Option<Box<PgListener>>,
    try_at: Instant,
}

impl News {
    /// Returns when something changed, or after `at_most`. Without an ear it is the same as silence: whoever waits looks by
    /// itself then.
    pub async fn wait(&mut self, at_most: Duration) {
        let started = Instant::now();
        let heard = match self {
            Self::None => false,
            Self::Postgres(ear) => ear.hears(at_most).await,
        };
        if !heard {
            sleep_until(started + at_most).await;
        }
    }
}

impl Ear {
    /// Whether something was heard in this time.
    async fn hears(&mut self, at_most: Duration) -> bool {
        if self.listener.is_none() && self.try_at <= Instant::now() {
            self.try_at = Instant::now() + TRY_EVERY;
            self.listener =
                timeout(PATIENCE, listen(&self.pool)).await.ok().flatten().map(Box::new);
        }
        let Some(listener) = &mut self.listener else { return false };
        match timeout(at_most, listener.try_recv()).await {
            Ok(Ok(Some(_))) => true,
            // The connection is lost: it is opened anew above, with the time that this takes.
            Ok(Ok(None) | Err(_)) => {
                self.listener = None;
                false
            }
            Err(_) => false,
        }
    }
}

async fn listen(pool: &PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(pool).await.ok()?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.ok()?;
    Some(listener)
}

impl Db {
    /// News of changes by other processes.
    pub async fn news(&self) -> News {
        match self {
            Self::Sqlite { .. } => News::None,
            Self::Postgres(pool) => {
                let listener = timeout(PATIENCE, listen(pool)).await.ok().flatten().map(Box::new);
                let try_at = Instant::now() + TRY_EVERY;
                News::Postgres(Ear { pool: pool.clone(), listener, try_at })
            }
        }
    }
}
