//! The two databases, and the macro that makes one test into two.

/// The database that a test's catalog lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// A file in the data folder: what `imagedepot serve` uses when nothing is set.
    Sqlite,
    /// A database of its own in the shared throw-away cluster.
    Postgres,
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
