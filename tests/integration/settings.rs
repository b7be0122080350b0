//! The settings: an example that is true, and mistakes named with their place.

use std::os::unix::ffi::OsStrExt as _;

use crate::harness::actions::file_path;
use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot, eventually};

#[tokio::test]
async fn the_example_settings_pass_their_own_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = run(imagedepot(["check-config", "--example"])).await.successful().stdout;
    for section in
        ["[server]", "[[listener]]", "[catalog]", "[store]", "[tree]", "[uploads]", "[bits]"]
    {
        assert!(example.contains(section), "{section} is missing:\n{example}");
    }
    let file = folder.path().join("imagedepot.toml");
    std::fs::write(&file, &example).expect("write the example");
    let file = file.display().to_string();
    run(imagedepot(["check-config", "--config", &file])).await.successful();
    run(imagedepot(["--config", &file, "check-config"])).await.successful();
    // What it offers beside the defaults exists, too: with each of those lines in force nothing is
    // unknown (that a certificate is not there is another matter).
    let all_in_force = example.replace("#= ", "");
    assert!(all_in_force.len() < example.len(), "no line shows a key without a default");
    std::fs::write(&file, &all_in_force).expect("write the example");
    let checked = run(imagedepot(["check-config", "--config", &file])).await;
    assert!(!checked.stderr.contains("unknown"), "{}", checked.stderr);
}

#[tokio::test]
async fn wrong_settings_are_named_with_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    let file_name = file.display().to_string();
    for (text, named) in [
        ("[tree]\ngrase = \"1h\"\n", "grase"),
        ("[tre]\ngrace = \"1h\"\n", "tre"),
        ("[tree]\ngrace = \"a while\"\n", "grace"),
        ("[tree]\npattern = \"{image}.{ext}\"\n", "pattern"),
        ("[catalog]\nurl = \"mysql://x/y\"\n", "url"),
        ("[[listener]]\naddress = \"nowhere\"\n", "address"),
        ("[[listener]]\naddress = \"127.0.0.1:1\"\ncertificate = \"/no/such.pem\"\n", "key"),
        ("[bits]\nname_pattern = \"(?<image>\"\n", "bits.name_pattern"),
        ("[bits]\nname_pattern = \"(.*)\"\n", "(?<image>"),
        ("[bits]\npromote_to = \"a/b\"\n", "promote_to"),
        ("[bits]\ncommit = \"sometimes\"\n", "commit"),
        ("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "everybody"),
        ("[log]\nlevel = \"blah==\"\n", "log.level"),
        (
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[metrics]\nlisten = \"127.0.0.1:1\"\n",
            "127.0.0.1:1 stands there twice",
        ),
        ("[store]\nurl = \"ftp://x/y\"\n", "no folder and no bucket"),
        ("[store]\nurl = \"s3://x/y\"\n[store.options]\nregoin = \"z\"\n", "store.options.regoin"),
        (
            "[store]\nurl = \"s3://x/y\"\n[tree]\nurl = \"file:///srv/tree\"\n",
            "a bucket of the same service",
        ),
        ("[store]\nurl = \"s3://x/y\"\n[tree]\nurl = \"s3://x\"\n", "lie below it"),
        ("[store\n", "1"),
    ] {
        std::fs::write(&file, text).expect("write the settings");
        for arguments in
            [["check-config", "--config", &file_name], ["serve", "--config", &file_name]]
        {
            let refused = run(imagedepot(arguments)).await;
            assert!(refused.code > 0, "{arguments:?} took {text}");
            assert!(refused.stderr.contains(named), "{text}: {}", refused.stderr);
        }
    }
    let mut by_environment = imagedepot(["check-config"]);
    by_environment.env("IMAGEDEPOT__TREE__GRASE", "1h");
    let refused = run(by_environment).await;
    assert!(
        refused.code > 0 && refused.stderr.to_lowercase().contains("grase"),
        "{}",
        refused.stderr
    );
    let missing = run(imagedepot(["check-config", "--config", "/no/such/file.toml"])).await;
    assert!(
        missing.code > 0 && missing.stderr.contains("/no/such/file.toml"),
        "{}",
        missing.stderr
    );
}

#[tokio::test]
async fn settings_come_from_files_that_the_environment_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |values: &[(&str, &str)]| {
        let mut check = imagedepot(["check-config"]);
        check.env("IMAGEDEPOT__STORE__URL", "s3://x/y");
        for (key, value) in values {
            let file = folder.path().join(key);
            std::fs::write(&file, format!("{value}\n")).expect("write the value");
            check.env(format!("IMAGEDEPOT__{key}_FILE"), file);
        }
        run(check)
    };
    let taken = [
        ("CATALOG__URL", "postgres://depot:secret@db.example.com/depot"),
        ("STORE__OPTIONS__ACCESS_KEY_ID", "0815"),
        ("STORE__OPTIONS__SECRET_ACCESS_KEY", "secret"),
        ("TREE__MAX_DOWNLOADS", "7"),
    ];
    check(&taken).await.successful();
    for (key, value, named) in [
        ("CATALOG__URL", "mysql://x/y", "catalog.url"),
        ("TREE__GRASE", "1h", "grase"),
        ("TREE__MAX_DOWNLOADS", "some", "max_downloads"),
        ("STORE__OPTIONS__REGOIN", "z", "store.options.regoin"),
    ] {
        let refused = check(&[(key, value)]).await;
        assert!(refused.code > 0 && refused.stderr.contains(named), "{key}: {}", refused.stderr);
    }
    let mut absent = imagedepot(["check-config"]);
    absent.env("IMAGEDEPOT__CATALOG__URL_FILE", "/no/such/url");
    let refused = run(absent).await;
    assert!(refused.code > 0 && refused.stderr.contains("/no/such/url"), "{}", refused.stderr);
}

#[tokio::test]
async fn only_its_own_variables_have_to_be_text() {
    let latin = std::ffi::OsStr::from_bytes(b"B\xfcro");
    let mut check = imagedepot(["check-config"]);
    check.env("OFFICE", latin);
    run(check).await.successful();
    let mut check = imagedepot(["check-config"]);
    check.env("IMAGEDEPOT__TREE__ALIAS", latin);
    let refused = run(check).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("IMAGEDEPOT__TREE__ALIAS"), "{}", refused.stderr);
}

#[tokio::test]
async fn settings_are_read_again_while_the_server_runs() {
    let depot = Depot::on(Database::Sqlite).settings_file("[tree]\ngrace = \"1h\"\n").start().await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.create_single_image("linux", "qcow2").await;
    let draft = admin.draft("linux").await;
    let file = file_path("linux", draft, "image");
    admin.put(&file).body(vec![7; 2000]).await.expecting(201);
    let change = |text: &str| {
        std::fs::write(depot.scratch().join("imagedepot.toml"), text).expect("write the settings");
        depot.server.ask_to_reload();
    };
    // Of a mistake nothing is taken.
    change("[uploads]\nmax_size = \"1 kB\"\n[tree]\ngrase = \"1h\"\n");
    eventually("the mistake is named", || async {
        depot.server.log().contains("grase").then_some(())
    })
    .await;
    admin.put(&file).body(vec![7; 2000]).await.expecting(200);
    change(
        "[uploads]\nmax_size = \"1 kB\"\n[tree]\nalias = \"elsewhere\"\n[metrics]\nlisten = \"127.0.0.1:1\"\n",
    );
    eventually("what only a start takes is named", || async {
        depot.server.log().contains("the next start only: tree.alias, metrics.listen").then_some(())
    })
    .await;
    assert_eq!(admin.put(&file).body(vec![7; 2000]).await.problem(413), "file_too_large");
    depot.anonymous().get_tree("win7-office_1.ckm").await.expecting(200);
    change("[tree]\nmax_downloads = 1\n[log]\nlevel = \"imagedepot=warn\"\n");
    eventually("the limit is lifted", || async {
        (admin.put(&file).body(vec![7; 2000]).await.status == 200).then_some(())
    })
    .await;
    // What is no warning is not logged any more.
    admin.ready_revision("win7-office", 2).await;
    admin.promote("win7-office", "production", 2).await.expecting(200);
    admin.wait_until_published("win7-office", "production").await;
    let log = depot.server.log();
    assert!(log.contains("win7-office_1.ckm") && !log.contains("win7-office_2.ckm"), "{log}");
}
