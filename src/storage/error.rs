//! What goes wrong with rows and bytes, sorted by who can do something about it.

/// An error of the database, the store or the disk.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A unique constraint refused the row: someone else has the name, or was faster.
    #[error("the row exists already")]
    Duplicate,
    /// The database did not give a connection or its write lock in time; trying again helps.
    #[error("the database is busy or away: {0}")]
    Unavailable(String),
    /// The disk or bucket has no room for the bytes.
    #[error("no room in the store: {0}")]
    NoRoom(String),
    /// The disk of the catalog is full, and the rest of it is for what frees room.
    #[error(
        "the catalog's disk has {free} bytes left, which are for what frees room or shuts somebody out: delete revisions \
         or cancel uploads (POST /api/v1/gc?immediately=true removes their bytes at once), or make room on the disk"
    )]
    RoomKept { free: u64 },
    #[error("database: {0}")]
    Database(sqlx::Error),
    #[error("migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("store: {0}")]
    Store(object_store::Error),
    #[error("{what}: {source}")]
    File { what: String, source: std::io::Error },
    /// Stored bytes are not what the catalog knows of them.
    #[error("damaged: {0}")]
    Damaged(String),
    /// What was put aside of an upload, to go on with, is not what was put there: it goes on from before.
    #[error("the last bytes of an upload have changed in the store: {0}")]
    TailChanged(String),
    /// The catalog takes no changes at the moment.
    #[error("the catalog takes no changes: {0}")]
    Frozen(String),
    /// Another server holds this data folder.
    #[error("{0}")]
    InUse(String),
    /// The settings name something that cannot be used.
    #[error("{0}")]
    Unusable(String),
}

impl StorageError {
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::NoRoom(source.to_string())
            }
            _ => Self::File { what: what.into(), source },
        }
    }

    /// Whether it says something of stored bytes, and not of the way to them: trying again gives the same.
    pub fn is_about_the_bytes(&self) -> bool {
        match self {
            Self::Damaged(_)
            | Self::TailChanged(_)
            | Self::Store(object_store::Error::NotFound { .. }) => true,
            Self::File { source, .. } => is_about_the_file(source),
            _ => false,
        }
    }

    /// What a store that refuses is likely to have, as a sentence for people; none where it only does not answer.
    pub fn refusal_of_store(&self) -> Option<&'static str> {
        use object_store::Error as E;
        let Self::Store(error) = self else { return None };
        let text = error.to_string();
        let known = REFUSALS.iter().find(|(word, _)| text.contains(word));
        known.map(|(_, sentence)| *sentence).or(match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Some("the store refuses the server's credentials, or what they may do")
            }
            _ => None,
        })
    }

    /// Whether it may pass by itself: nobody has to change a setting or to mend anything.
    pub fn is_passing(&self) -> bool {
        use object_store::Error as E;
        match self {
            Self::Unavailable(_) | Self::NoRoom(_) | Self::RoomKept { .. } => true,
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

/// The store did not do what it was asked in time; trying again helps.
pub(super) fn away(detail: impl Into<String>) -> StorageError {
    let source = detail.into().into();
    StorageError::Store(object_store::Error::Generic { store: "bucket", source })
}

/// Work that was handed to another thread did not end: the server stops.
pub(super) fn lost(error: &tokio::task::JoinError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// What a disk says of bytes that it cannot give: EIO, ENODATA, EBADMSG, EUCLEAN.
const UNREADABLE: [i32; 4] = [5, 61, 74, 117];

/// Whether an error of the system says something of the file: it is not there, ends early, or cannot be read.
pub(super) fn is_about_the_file(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    matches!(error.kind(), K::NotFound | K::UnexpectedEof)
        || error.raw_os_error().is_some_and(|code| UNREADABLE.contains(&code))
}

/// Words of S3 and Azure, and what they mean for whoever runs the server.
const REFUSALS: [(&str, &str); 7] = [
    ("RequestTimeTooSkewed", "the store says that the server's clock is wrong"),
    ("ExpiredToken", "the server's credentials for the store have expired"),
    ("InvalidAccessKeyId", "the store does not know the server's credentials"),
    ("SignatureDoesNotMatch", "the store refuses the server's credentials"),
    ("NoSuchBucket", "the bucket is not there"),
    ("ContainerNotFound", "the container is not there"),
    (
        "PermanentRedirect",
        "the bucket is in another region or at another address than store.options say",
    ),
];

/// SQLite's result codes for a lock that somebody else holds.
const SQLITE_BUSY: [&str; 4] = ["5", "6", "261", "517"];
/// SQLite's code for a full disk.
const SQLITE_FULL: &str = "13";
/// PostgreSQL's code for a full disk.
const POSTGRES_FULL: &str = "53100";
/// PostgreSQL: serialization failure, deadlock, a lock that did not come in time; the transaction may
/// be tried again.
const POSTGRES_RETRY: [&str; 3] = ["40001", "40P01", "55P03"];
/// PostgreSQL: a prepared statement that is there already, or is not: somebody else had the connection in between.
const POSTGRES_POOLED: [&str; 2] = ["42P05", "26000"];
/// PostgreSQL: a statement took longer than the administrator allows (`statement_timeout`).
const POSTGRES_CANCELED: &str = "57014";
/// PostgreSQL: connection exceptions, too many connections, shutting down, starting up, only to be
/// read (a standby before it takes over), a session that idled in its transaction.
const POSTGRES_AWAY: [&str; 9] =
    ["08000", "08003", "08006", "25006", "25P03", "53300", "57P01", "57P02", "57P03"];

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error.to_string())
            }
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
                    || POSTGRES_AWAY.contains(&code)
                {
                    Self::Unavailable(error.to_string())
                } else if POSTGRES_POOLED.contains(&code) {
                    Self::Unusable(
                        "the database is reached through a pooler that gives each transaction another connection: set it to \
                         one connection for each session (pgbouncer: pool_mode = session), or name the database itself in \
                         catalog.url"
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
            if let Some(io) = inner.downcast_ref::<std::io::Error>()
                && matches!(
                    io.kind(),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
                )
            {
                return Self::NoRoom(io.to_string());
            }
            cause = inner.source();
        }
        Self::Store(error)
    }
}
