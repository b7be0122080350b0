//! PostgreSQL's pool: the number of connections, what is set on each first, and which are no longer trusted.
//!
//! A failover leaves connections behind that look healthy and refuse every change: they lead to a server that is a
//! standby now, or were opened while the database was read-only. So a transaction that is to change something checks
//! this first, and connections from before such a finding are closed instead of used again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Postgres};

use super::PATIENCE;
use super::held::{Held, in_time};
use super::postgres_url::options;
use crate::storage::error::StorageError;

/// The interval at which a caller that waits for a new connection also looks for one that was given back. It matters if
/// the database grants fewer connections than the pool wants.
const LOOK_FOR_FREE: Duration = Duration::from_millis(20);

/// The number of attempts to begin a transaction: the connections that look free first may lead to a server that is a
/// standby now.
const TRIES: u32 = 3;

/// The time within which a failure counts as the refusal of a standby, so that another connection is tried.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The time limit for a connection to show that the database still responds on it.
const PING: Duration = Duration::from_millis(500);

/// The time of the last finding: connections that were opened before it are not used again. It is per process: each
/// pool finds out for itself.
static DISTRUSTED_BEFORE: Mutex<Option<Instant>> = Mutex::new(None);

/// Opens the pool. Refuses a database whose encoding cannot hold what the catalog writes.
pub(super) async fn open(url: &str, connections: u32) -> Result<PgPool, StorageError> {
    let options = options(url)?
        .application_name("imagedepot")
        // Poolers refuse start-up parameters that they do not know, and the catalog has no floating-point numbers.
        .extra_float_digits(None)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        // One more, which listens.
        .max_connections(connections.saturating_add(1))
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| Box::pin(greet(connection)))
        // Tested below instead: the pool's own test waits for an answer without end.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            let is_trusted = is_trusted(about.age);
            Box::pin(async move { Ok(is_trusted && answers(connection).await) })
        })
        .connect_with(options)
        .await?;
    let encoding: String = sqlx::query_scalar("show server_encoding").fetch_one(&pool).await?;
    if encoding != "UTF8" {
        return Err(StorageError::Unusable(format!(
            "the database's encoding is {encoding}, which cannot hold every name and note: create it again with \
             `createdb --encoding=UTF8 --template=template0`"
        )));
    }
    Ok(pool)
}

/// Sets up a new connection. PostgreSQL waits for locks without end, and a replica whose machine vanished during a
/// transaction keeps its locks for hours. A role's default isolation level may be `serializable`, under which half of
/// the changes would fail. All this is set here and not in the connection's start-up, where poolers refuse it.
async fn greet(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "set lock_timeout = '20s'; set idle_in_transaction_session_timeout = '60s'; \
             set default_transaction_isolation = 'read committed'",
        )
        .await?;
    Ok(())
}

/// Reports whether the database still responds on a connection. If it does not, the connections that were opened before
/// lead to the same place, and are not tried one after the other.
async fn answers(connection: &mut PgConnection) -> bool {
    let asked = Instant::now();
    let answered = matches!(tokio::time::timeout(PING, connection.ping()).await, Ok(Ok(())));
    if !answered {
        distrust_connections_unless_since(asked);
    }
    answered
}

/// A connection that the pool has not tested. Dropped before its test has ended, it is closed: the pool would wait for its
/// answer without end.
struct Untested(Option<PoolConnection<Postgres>>);

impl Untested {
    async fn test(mut self) -> Option<PoolConnection<Postgres>> {
        let answers = answers(self.0.as_mut()?).await;
        if answers { self.0.take() } else { None }
    }
}

impl Drop for Untested {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

pub(super) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, StorageError> {
    let acquiring = pool.acquire();
    tokio::pin!(acquiring);
    loop {
        tokio::select! {
            acquired = &mut acquiring => return Ok(acquired?),
            () = tokio::time::sleep(LOOK_FOR_FREE) => {
                if let Some(free) = pool.try_acquire()
                    && let Some(tested) = Untested(Some(free)).test().await
                {
                    return Ok(tested);
                }
            }
        }
    }
}

/// Begins a transaction that only reads.
pub(super) async fn begin_reading(pool: &PgPool) -> Result<Held, StorageError> {
    begin_with_retries(|| begin(pool, "begin isolation level repeatable read read only")).await
}

/// Begins a transaction that may change something.
pub(super) async fn begin_writing(pool: &PgPool) -> Result<Held, StorageError> {
    begin_with_retries(|| try_writing(pool)).await
}

/// Begins a transaction, on another connection if the first one fails: an attempt that failed has had no effect, and
/// connections from before a failover refuse at once. A database that is unreachable or does not respond is not waited
/// for a second time.
async fn begin_with_retries<F: Future<Output = Result<Held, StorageError>>>(
    begin: impl Fn() -> F,
) -> Result<Held, StorageError> {
    let asked = Instant::now();
    for _ in 1..TRIES {
        match begin().await {
            Err(StorageError::Unavailable(_)) if asked.elapsed() < AT_ONCE => {
                distrust_connections_unless_since(asked);
            }
            other => return other,
        }
    }
    begin().await
}

async fn try_writing(pool: &PgPool) -> Result<Held, StorageError> {
    /// Asks whether the transaction may only read. Also limits how long the database keeps the transaction's locks when
    /// this server stops responding. Transactions that only read may pause for longer, while what they have read is
    /// sent to a slow place of backups.
    const MAY_WRITE: &str = "select current_setting('transaction_read_only')::boolean \
        from set_config('idle_in_transaction_session_timeout', '10s', true)";
    let mut begun = begin(pool, "begin").await?;
    let asking = sqlx::query_scalar(MAY_WRITE).fetch_one(begun.ask());
    let is_read_only: Result<bool, sqlx::Error> = in_time(asking).await;
    begun.has_answered(&is_read_only);
    if is_read_only? {
        begun.distrust();
        return Err(StorageError::Unavailable(
            "the database is read-only at the moment".to_owned(),
        ));
    }
    Ok(begun)
}

async fn begin(pool: &PgPool, statement: &'static str) -> Result<Held, StorageError> {
    Held::begin(acquire(pool).await?, statement).await
}

fn is_trusted(age: Duration) -> bool {
    let before = *DISTRUSTED_BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    before.is_none_or(|before| age < before.elapsed())
}

/// Stops trusting all current connections, unless that was done since `asked`. Of several changes that were requested
/// at the same time, one does this for all: the others find connections that were opened since.
fn distrust_connections_unless_since(asked: Instant) {
    let mut before = DISTRUSTED_BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if before.is_none_or(|before| before < asked) {
        *before = Some(Instant::now());
    }
}
