//! The errors of rows and bytes, sorted by who can do something about them.

use std::fmt::Display;
use std::io;

/// An error of the database, the store or the disk.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A unique constraint refused the row: the name is taken, or another change was faster.
    #[error("the row already exists")]
    Duplicate,
    /// The database did not provide a connection or its write lock in time; trying again helps.
    #[error("the database is busy or unreachable: {0}")]
    Unavailable(String),
    /// The disk or bucket has no space for the bytes.
    #[error("no space left in the store: {0}")]
    NoRoom(String),
    /// The disk of the catalog is full, and the rest of it is reserved for changes that free disk space or lock a
    /// caller out.
    #[error(
        "the catalog's disk has {free} bytes left, which are reserved for operations that free space or lock a caller \
         out: delete revisions or cancel uploads (POST /api/v1/gc?immediately=true removes their bytes at once), or \
         free space on the disk"
    )]
    SpaceReserved { free: u64 },
    #[error("database: {0}")]
    Database(sqlx::Error),
    #[error("migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("store: {0}")]
    Store(object_store::Error),
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    /// Stored bytes are not what the catalog has recorded.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The tail of an upload is not what was stored. The upload continues from an earlier offset.
    #[error("the last bytes of an upload have changed in the store: {0}")]
    TailChanged(String),
    /// The catalog accepts no changes at the moment.
    #[error("the catalog accepts no changes: {0}")]
    Frozen(String),
    /// Another server uses this data folder or catalog.
    #[error("{0}")]
    InUse(String),
    /// The settings name something that cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl StorageError {
    /// Returns the error for a failed system call on `what`: a path, or a description of the file.
    pub(crate) fn file(what: impl Display, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoRoom(source.to_string())
            }
            _ => Self::File { what: what.to_string(), source },
        }
    }

    /// Reports whether the error concerns the stored bytes and not the way to them: trying again gives the same error.
    pub fn is_about_the_bytes(&self) -> bool {
        match self {
            Self::Damaged(_)
            | Self::TailChanged(_)
            | Self::Store(object_store::Error::NotFound { .. }) => true,
            Self::File { source, .. } => is_about_the_file(source),
            _ => false,
        }
    }

    /// Returns the likely reason of a store's refusal, as a sentence for people; none if the store only does not
    /// answer.
    pub fn refusal_of_store(&self) -> Option<&'static str> {
        use object_store::Error as E;
        let Self::Store(error) = self else { return None };
        let text = error.to_string();
        let known = REFUSALS.iter().find(|(word, _)| text.contains(word));
        known.map(|(_, sentence)| *sentence).or(match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Some("the store refuses the server's credentials, or they lack a permission")
            }
            _ => None,
        })
    }

    /// Reports whether the error may pass by itself, without a change of a setting and without a repair.
    pub fn is_temporary(&self) -> bool {
        use object_store::Error as E;
        match self {
            Self::Unavailable(_) | Self::NoRoom(_) | Self::SpaceReserved { .. } => true,
            Self::Store(error) => !matches!(
                error,
                E::NotFound { .. }
                    | E::PermissionDenied { .. }
                    | E::Unauthenticated { .. }
                    | E::NotSupported { .. }
                    | E::NotImplemented { .. }
                    | E::InvalidPath { .. }
            ),
            _ => false,
        }
    }
}

/// Returns the error for a store that did not do in time what it was asked to do; trying again helps.
pub(super) fn away(detail: impl Into<String>) -> StorageError {
    let source = detail.into().into();
    StorageError::Store(object_store::Error::Generic { store: "bucket", source })
}

/// Returns the error for work on another thread that did not end, which happens when the server stops.
pub(super) fn lost(error: &tokio::task::JoinError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// The system's error codes for bytes that a disk cannot return: EIO, ENODATA, EBADMSG, EUCLEAN.
const UNREADABLE: [i32; 4] = [5, 61, 74, 117];

/// Reports whether a system error concerns the file itself: it does not exist, ends early, or cannot be read.
pub(super) fn is_about_the_file(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::NotFound | K::UnexpectedEof)
        || error.raw_os_error().is_some_and(|code| UNREADABLE.contains(&code))
}

/// The error codes of S3 and Azure, and what they mean for the administrator.
const REFUSALS: [(&str, &str); 7] = [
    ("RequestTimeTooSkewed", "the store says that the server's clock is wrong"),
    ("ExpiredToken", "the server's credentials for the store have expired"),
    ("InvalidAccessKeyId", "the store does not know the server's credentials"),
    ("SignatureDoesNotMatch", "the store refuses the server's credentials"),
    ("NoSuchBucket", "the bucket does not exist"),
    ("ContainerNotFound", "the container does not exist"),
    (
        "PermanentRedirect",
        "the bucket is in another region or at another address than store.options say",
    ),
];

/// SQLite's result codes for a lock that another connection holds.
const SQLITE_BUSY: [&str; 4] = ["5", "6", "261", "517"];
/// SQLite's code for a full disk.
const SQLITE_FULL: &str = "13";
/// PostgreSQL's code for a full disk.
const POSTGRES_FULL: &str = "53100";
/// PostgreSQL's codes for a serialization failure, a deadlock, and a lock that was not granted in time; the transaction
/// may be tried again.
const POSTGRES_RETRY: [&str; 3] = ["40001", "40P01", "55P03"];
/// PostgreSQL's codes for a prepared statement that exists already, or does not exist: another client had the
/// connection in between.
const POSTGRES_POOLED: [&str; 2] = ["42P05", "26000"];
/// PostgreSQL's code for a statement that took longer than the administrator allows (`statement_timeout`).
const POSTGRES_CANCELED: &str = "57014";
/// PostgreSQL's codes for connection exceptions (a pooler reports a server that it cannot reach as 08P01), a read-only
/// database (a standby before it takes over), a session or transaction that was ended for its duration, resources that
/// are used up, shutting down, and starting up.
const POSTGRES_UNAVAILABLE: [&str; 17] = [
    "08000", "08001", "08003", "08004", "08006", "08P01", "25006", "25P03", "25P04", "53000",
    "53200", "53300", "57P01", "57P02", "57P03", "57P04", "57P05",
];

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // A server that closes a connection before it has answered the request for TLS is such a protocol error, too.
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let code = code.as_ref();
                if database.is_unique_violation() {
                    Self::Duplicate
                } else if code == SQLITE_FULL || code == POSTGRES_FULL {
                    Self::NoRoom(error.to_string())
                } else if SQLITE_BUSY.contains(&code)
                    || code == POSTGRES_CANCELED
                    || POSTGRES_RETRY.contains(&code)
                    || POSTGRES_UNAVAILABLE.contains(&code)
                {
                    Self::Unavailable(error.to_string())
                } else if POSTGRES_POOLED.contains(&code) {
                    Self::Unusable(
                        "the database is reached through a pooler that gives each transaction another connection: \
                         configure it to keep one connection for each session (pgbouncer: pool_mode = session), or \
                         name the database itself in catalog.url"
                            .to_owned(),
                    )
                } else {
                    Self::Database(error)
                }
            }
            _ => Self::Database(error),
        }
    }
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        // object_store wraps the system's error several layers deep.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<io::Error>()
                && matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            {
                return Self::NoRoom(io.to_string());
            }
            cause = inner.source();
        }
        Self::Store(error)
    }
}
