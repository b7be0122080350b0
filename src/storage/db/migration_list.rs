//! The files of `migrations/` as they are in the binary, in their order. `migrations` runs them; `migrations/README.md` says
//! how one is written.
//!
//! A list of our own and not sqlx's macro, for the reason that `model::row` gives.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Names of the files in `migrations/`, with their text.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../migrations/", $name, ".sql")))),*]
    };
}

const FILES: [(&str, &str); 12] = files![
    "0001_catalog",
    "0002_uploads",
    "0003_audit_chain",
    "0004_certificate_mappings",
    "0005_tokens",
    "0006_published_objects",
    "0007_jobs",
    "0008_garbage",
    "0009_scrub",
    "0010_frozen",
    "0011_epochs_left_out",
    "0012_scrub_attempts",
];

/// What runs them. Catalogs remember the number and the checksum of each.
pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().filter_map(migration).collect()));

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
        let mut there: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        there.sort_unstable();
        let listed: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, listed, "files in migrations/ and FILES");
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        assert!(versions.eq(1..=i64::try_from(FILES.len()).unwrap()), "numbers follow one another");
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
