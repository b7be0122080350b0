//! The places of backups and exports: folders and buckets, and nothing that only looks like one. Also tests what is
//! left of a backup that failed.

use std::path::Path;

use crate::harness::command::{Finished, imagedepot, run};
use crate::harness::folder::files_below;
use crate::harness::small_disk::SmallDisk;
use crate::harness::{Database, Depot};

async fn command(depot: &Depot, arguments: &[&str]) -> Finished {
    let mut command = imagedepot([]);
    command.args(arguments).args(["--output", "json", "--data"]).arg(depot.server.data());
    command.envs(depot.environment()).current_dir(depot.scratch());
    run(command).await
}

#[tokio::test]
async fn a_place_on_another_machine_is_no_folder_here() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let before: Vec<_> = files_below(depot.scratch()).into_keys().collect();
    for place in [
        "sftp://host/x",
        "ftp://host/x",
        "http://host/x",
        "https://host/x",
        "root@nas:/x",
        "nas:backups",
        "file://nas/x",
        "s3:/bucket",
        "s3:///prefix",
    ] {
        for arguments in [
            &["backup", "--to", place][..],
            &["export", "win7-office", "--to", place],
            &["restore", "--from", place, "--list"],
            &["import", "--from", place],
            &["scrub", "--heal-from", place],
        ] {
            let refused = command(&depot, arguments).await;
            assert_eq!(refused.code, 2, "{arguments:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("s3://BUCKET"), "{arguments:?}: {}", refused.stderr);
        }
    }
    for arguments in [
        &["import", "--tree", "sftp://nas/x"][..],
        &["move", "--to-config", "x", "--to-data", "nas:/x"],
        &["pull", "win7-office", "--to", "nas:/x"],
        &["prestage", "win7-office", "--to", "smb://nas/x"],
        &["serve", "--data", "nas:/x"],
        &["user", "list", "--data", "nas:/x"],
    ] {
        let mut command = imagedepot([]);
        command.args(arguments).current_dir(depot.scratch());
        let refused = run(command).await;
        assert_eq!(refused.code, 2, "{arguments:?}: {}", refused.stderr);
    }
    // The server's own files, which it writes meanwhile.
    let own = ["data/catalog", "data/MEDVImages/tuf/"];
    let is_own = |path: &String| {
        path.ends_with("server.log") || own.iter().any(|begin| path.starts_with(begin))
    };
    let after = files_below(depot.scratch()).into_keys();
    let new: Vec<_> = after.filter(|path| !before.contains(path) && !is_own(path)).collect();
    assert!(new.is_empty(), "{new:?}");
    // A folder of such a name can be had.
    command(&depot, &["backup", "--to", "./nas:backups"]).await.successful();
    assert!(depot.scratch().join("nas:backups/catalogs").is_dir());
}

#[tokio::test]
async fn a_backup_on_the_store_s_own_disk_is_warned_of() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let beside = command(&depot, &["backup", "--to", "beside"]).await.successful();
    assert!(beside.stderr.contains("on the same disk as the store"), "{}", beside.stderr);
    assert_eq!(beside.last_line()["on_the_stores_disk"], true);
    let disk = SmallDisk::mounted(16);
    let place = disk.path().join("backup").display().to_string();
    let elsewhere = command(&depot, &["backup", "--to", &place]).await.successful();
    assert_eq!(elsewhere.stderr, "");
    assert_eq!(elsewhere.last_line()["on_the_stores_disk"], false);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let names = |folder: &Path| -> Vec<String> { files_below(folder).into_keys().collect() };
    // There is room for no file of it.
    let disk = SmallDisk::mounted(1);
    let filler = disk.fill();
    let place = disk.path().join("deep/backup");
    let refused = command(&depot, &["backup", "--to", &place.display().to_string()]).await;
    assert_eq!(refused.code, 8, "{}", refused.stderr);
    assert_eq!(refused.last_line()["exit_code"], 8);
    assert_eq!(names(disk.path()), ["filler"]);
    assert!(!disk.path().join("deep").exists(), "an empty folder was left");
    std::fs::remove_file(filler).expect("make room");
    command(&depot, &["backup", "--to", &place.display().to_string()]).await.successful();
    // A catalog that is not there is told before a place is made.
    let mut typo = imagedepot(["backup", "--to", "new", "--data", "typo"]);
    typo.current_dir(depot.scratch());
    assert_eq!(run(typo).await.code, 5);
    assert!(!depot.scratch().join("new").exists() && !depot.scratch().join("typo").exists());
}
