//! The text of `--version`.

use std::sync::LazyLock;

use crate::model::program;

/// The version line, made to be copied into fault reports.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = program::commit().unwrap_or("unknown");
    #[cfg(feature = "server")]
    let schema = format!(", schema {}", crate::storage::db::newest_schema());
    #[cfg(not(feature = "server"))]
    let schema = "";
    let (version, features) = (program::VERSION, program::features().join(" "));
    format!("{version} (commit {commit}{schema}, features {features})")
});
