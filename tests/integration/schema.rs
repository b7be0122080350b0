//! One folder of migrations, two databases: both end with the same tables and columns, and a catalog
//! of a newer program is refused.

mod migration_files;

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![a_newer_schema_is_refused, an_older_catalog_is_saved_before_it_is_migrated];

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let depot = Depot::start(Database::Sqlite).await;
    let mut sqlite = sqlite(&depot).await;
    let lite: Vec<(String, String)> = sqlx::query_as(
        "select m.name, c.name from sqlite_master m, pragma_table_info(m.name) c \
         where m.type = 'table' and m.name not like 'sqlite_%'",
    )
    .fetch_all(&mut sqlite)
    .await
    .expect("SQLite's columns");
    let depot = Depot::start(Database::Postgres).await;
    let mut postgres = postgres(&depot).await;
    let pg: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns \
         where table_schema = 'public'",
    )
    .fetch_all(&mut postgres)
    .await
    .expect("PostgreSQL's columns");
    let (lite, pg) = (BTreeSet::from_iter(lite), BTreeSet::from_iter(pg));
    assert!(lite.len() > 50, "{lite:?}");
    assert_eq!(lite, pg);
}

async fn a_newer_schema_is_refused(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.server.stop().await;
    let newer = "insert into _sqlx_migrations \
                 (version, description, success, checksum, execution_time) \
                 values (9999, 'from the future', true, 'x', 0)";
    match database {
        Database::Sqlite => {
            sqlx::query(newer).execute(&mut sqlite(&depot).await).await.expect("a newer row");
        }
        Database::Postgres => {
            sqlx::query(newer).execute(&mut postgres(&depot).await).await.expect("a newer row");
        }
    }
    let mut migrate = imagedepot(["migrate"]);
    migrate.arg("--data").arg(depot.server.data()).envs(depot.environment());
    let refused = run(migrate).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("newer"), "{}", refused.stderr);
}

/// The last migration of the version that the older catalog is of.
const OLDER: i64 = 8;

async fn an_older_catalog_is_saved_before_it_is_migrated(database: Database) {
    let mut depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    depot.server.stop().await;
    let mut statements = migration_files::back_to(OLDER);
    // Work that the older version did not do.
    statements.push("delete from job".to_owned());
    for statement in statements {
        let sql = AssertSqlSafe(statement.clone());
        match database {
            Database::Sqlite => {
                sqlx::query(sql).execute(&mut sqlite(&depot).await).await.expect(&statement);
            }
            Database::Postgres => {
                sqlx::query(sql).execute(&mut postgres(&depot).await).await.expect(&statement);
            }
        }
    }
    let mut migrate = imagedepot(["migrate"]);
    migrate.arg("--data").arg(depot.server.data()).envs(depot.environment());
    let said = run(migrate).await.successful().stdout;
    let saved = depot.server.data().join("catalogs-before-migrations");
    assert!(said.contains(&saved.display().to_string()), "{said}");
    depot.server.start_again().await;
    depot.admin().revision("win7-office", 1).await;
    depot.server.stop().await;
    // Back to what was before, with the bytes that are there.
    depot.lose_catalog();
    std::fs::remove_dir_all(depot.tree()).expect("move the tree away");
    let from = saved.display().to_string();
    let mut restore = imagedepot(["restore", "--rows-only", "--from", &from]);
    restore.arg("--data").arg(depot.server.data()).envs(depot.environment());
    run(restore).await.successful();
    depot.server.start_again().await;
    depot.admin().wait_until_published("win7-office", "production").await;
    let served = depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    assert!(served.body == crate::harness::actions::ckm(1));
}

async fn sqlite(depot: &Depot) -> SqliteConnection {
    let path = depot.server.data().join("catalog.sqlite");
    SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("the catalog")
}

async fn postgres(depot: &Depot) -> PgConnection {
    let environment = depot.environment();
    let url =
        environment.iter().find(|(name, _)| name == "IMAGEDEPOT__CATALOG__URL").expect("a URL");
    PgConnection::connect(&url.1).await.expect("the catalog")
}
