//! The two databases and the two kinds of store, and the macros that make one test into several.

/// The database that a test's catalog lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// A file in the data folder: what `imagedepot serve` uses when nothing is set.
    Sqlite,
    /// A database of its own in the shared throw-away cluster.
    Postgres,
}

/// The place of a test's bytes and its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Folders of this machine.
    Folder,
    /// A bucket of an S3 server.
    S3,
    /// A container of Azure Blob Storage.
    Azure,
}

/// Turns each named `async fn(Database)` into the tests `name::sqlite` and `name::postgres`.
///
/// The functions stand outside the macro, so that rustfmt and the compiler's messages treat them as
/// ordinary code; one that is missing from the list is dead code, which the lints refuse.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name($crate::harness::Database::Sqlite)).await;
            }

            #[tokio::test]
            async fn postgres() {
                Box::pin(super::$name($crate::harness::Database::Postgres)).await;
            }
        })+
    };
}
pub(crate) use on_both_databases;

/// Turns each named `async fn(Database, Store)` into five tests: both databases with folders and with S3, and SQLite
/// with Azure.
macro_rules! on_both_databases_and_stores {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use $crate::harness::{Database, Store};

            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name(Database::Sqlite, Store::Folder)).await;
            }

            #[tokio::test]
            async fn postgres() {
                Box::pin(super::$name(Database::Postgres, Store::Folder)).await;
            }

            #[tokio::test]
            async fn sqlite_and_s3() {
                Box::pin(super::$name(Database::Sqlite, Store::S3)).await;
            }

            #[tokio::test]
            async fn postgres_and_s3() {
                Box::pin(super::$name(Database::Postgres, Store::S3)).await;
            }

            #[tokio::test]
            async fn sqlite_and_azure() {
                Box::pin(super::$name(Database::Sqlite, Store::Azure)).await;
            }
        })+
    };
}
pub(crate) use on_both_databases_and_stores;
