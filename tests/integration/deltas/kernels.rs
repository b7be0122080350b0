//! A delta between images of two real kernels, beside what casync fetches.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::generated_clients::installed;
use crate::harness::command::{imagedepot, run};
use crate::harness::folder::files_below;

/// The chunks that casync makes of a file: their sizes, by name.
async fn casync(file: &Path, store: &Path) -> BTreeMap<String, u64> {
    let mut make = Command::new("casync");
    make.arg("make").arg("--store").arg(store).arg(store.with_extension("caibx")).arg(file);
    run(make).await.successful();
    files_below(store).into_iter().map(|(name, chunk)| (name, chunk.len())).collect()
}

#[tokio::test]
async fn of_two_kernels_a_delta_has_less_than_a_sixth_of_what_casync_fetches() {
    let image = |name| installed("IMAGEDEPOT_TEST_KERNELS", "kernels", name);
    let (old, new) = (image("old.ext4"), image("new.ext4"));
    let folder = tempfile::tempdir().expect("a folder");
    let known = casync(&old, &folder.path().join("old.castr")).await;
    let chunks = casync(&new, &folder.path().join("new.castr")).await;
    let missing = chunks.iter().filter(|(name, _)| !known.contains_key(*name));
    let missing: u64 = missing.map(|(_, size)| size).sum();

    let (delta, result) = (folder.path().join("delta"), folder.path().join("made"));
    let mut make = imagedepot(["delta", "make"]);
    make.args([&old, &new, &delta]);
    run(make).await.successful();
    let mut apply = imagedepot(["delta", "apply"]);
    apply.args([&old, &delta, &result]);
    run(apply).await.successful();
    let mut same = Command::new("cmp");
    same.args([&result, &new]);
    run(same).await.successful();
    let size = std::fs::metadata(&delta).expect("the delta").len();
    assert!(size * 100 <= missing * 16, "{size} bytes, where casync fetches {missing}");
}
