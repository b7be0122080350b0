//! News of changes that other processes made.

use std::time::Duration;

use sqlx::postgres::PgListener;

use super::database::Db;

/// PostgreSQL's name for the news that the catalog changed.
pub const CHANNEL: &str = "imagedepot_catalog";

/// Where the database tells of other processes' changes by itself.
pub enum News {
    /// SQLite does not: whoever wants to know asks.
    None,
    Postgres(Box<PgListener>),
}

impl News {
    /// Returns when something changed, or after `at_most`.
    pub async fn wait(&mut self, at_most: Duration) {
        let heard = async {
            match self {
                Self::None => std::future::pending().await,
                Self::Postgres(listener) => listener.recv().await.is_ok(),
            }
        };
        let started = tokio::time::Instant::now();
        if let Ok(false) = tokio::time::timeout(at_most, heard).await {
            // The connection is gone: it would answer so at once, again and again.
            tokio::time::sleep_until(started + at_most).await;
        }
    }
}

impl Db {
    /// News of changes by other processes.
    pub async fn news(&self) -> News {
        match self {
            Self::Sqlite { .. } => News::None,
            Self::Postgres(pool) => {
                let listener = PgListener::connect_with(pool).await;
                match listener {
                    Ok(mut listener) => match listener.listen(CHANNEL).await {
                        Ok(()) => News::Postgres(Box::new(listener)),
                        Err(_) => News::None,
                    },
                    Err(_) => News::None,
                }
            }
        }
    }
}
