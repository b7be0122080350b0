//! The files of `migrations/` as they are in the binary, in their order. `build.rs` lists them, `migrations` runs them,
//! and `migrations/README.md` describes how one is written.
//!
//! sqlx's macro is not used, for the reason that `model::row` gives.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The names, without `.sql`, and the texts of the files.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migrator. Catalogs record the number and the checksum of each migration.
pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().filter_map(migration).collect()));

/// Returns the number of the newest migration, which is the schema that this program works with.
pub fn newest_schema() -> i64 {
    FILES.last().and_then(|(name, _)| name.split_once('_')?.0.parse().ok()).unwrap_or(0)
}

/// Creates a migration from a file. Returns none for a name without a number, which a test finds.
fn migration(&(name, sql): &(&str, &'static str)) -> Option<Migration> {
    let (version, what) = name.split_once('_')?;
    let what = what.replace('_', " ").into();
    let sql = SqlStr::from_static(sql);
    Some(Migration::new(version.parse().ok()?, what, MigrationType::Simple, sql, false))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_run_in_the_order_of_its_number() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let there =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "sql"));
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        assert!(
            versions.eq(1..=i64::try_from(there.count()).unwrap()),
            "numbers follow one another"
        );
    }

    /// Checks the checksum that sqlx's own macro has recorded in existing catalogs.
    #[test]
    fn the_first_is_the_one_that_catalogs_remember() {
        let first = MIGRATIONS.iter().next().unwrap();
        assert_eq!((first.version, &*first.description), (1, "catalog"));
        assert_eq!(
            hex::encode(&*first.checksum),
            "c1728a7d656016301a2150b8152bb4b4d170154b5d92ba59cb451b0eb7952ddeaae7f18fb4f46b4ace69b4efeb7388f5"
        );
    }
}
