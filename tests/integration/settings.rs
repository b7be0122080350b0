//! The settings: an example that is true, and mistakes named with their place.

use std::os::unix::ffi::OsStrExt as _;

use crate::harness::command::{imagedepot, run};

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
