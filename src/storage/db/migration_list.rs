//! The files of `migrations/` as they are in the binary, in their order: `build.rs` lists them, `migrations` runs them, and
//! `migrations/README.md` says how one is written.
//!
//! Not sqlx's macro, for the reason that `model::row` gives.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Names, without `.sql`, and texts.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// What runs them. Catalogs remember the number and the checksum of each.
pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().filter_map(migration).collect()));

/// The number of the newest: the schema that this program works with.
pub fn newest_schema() -> i64 {
    FILES.last().and_then(|(name, _)| name.split_once('_')?.0.parse().ok()).unwrap_or(0)
}

/// None of a name without a number, which the tests find.
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

    /// As sqlx's own macro has made them in catalogs that are there already.
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
