//! The settings: an example that is true, and mistakes named with their place.

use std::os::unix::ffi::OsStrExt as _;

use crate::harness::actions::file_path;
use crate::harness::command::{curl, imagedepot, run};
use crate::harness::server::free_port;
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
        ("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "covers all addresses"),
        ("[log]\nlevel = \"blah==\"\n", "log.level"),
        (
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[metrics]\nlisten = \"127.0.0.1:1\"\n",
            "127.0.0.1:1 is listed twice",
        ),
        ("[store]\nurl = \"ftp://x/y\"\n", "must be a folder or a bucket"),
        ("[store]\nurl = \"s3://x/y\"\n[store.options]\nregoin = \"z\"\n", "store.options.regoin"),
        (
            "[store]\nurl = \"s3://x/y\"\n[tree]\nurl = \"file:///srv/tree\"\n",
            "a bucket of the same service",
        ),
        ("[store]\nurl = \"s3://x/y\"\n[tree]\nurl = \"s3://x\"\n", "must not contain store.url"),
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

/// Reads settings as Windows editors save them: a byte-order mark and other line ends are accepted, another encoding is
/// reported.
#[tokio::test]
async fn settings_are_utf_8_however_their_lines_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    let file_name = file.display().to_string();
    let windows = "\u{feff}[log]\r\nlevel = \"debug\"";
    std::fs::write(&file, windows).expect("write the settings");
    run(imagedepot(["check-config", "--config", &file_name])).await.successful();
    let utf_16 = windows.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let latin_1 = b"[log]\naccess = \"/srv/b\xfcro\"\n".to_vec();
    for (bytes, named) in [(utf_16, "UTF-16"), (latin_1, "line 2 is not UTF-8")] {
        std::fs::write(&file, bytes).expect("write the settings");
        let refused = run(imagedepot(["check-config", "--config", &file_name])).await;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(named) && refused.stderr.contains(&file_name));
    }
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
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("IMAGEDEPOT__TREE__ALIAS"), "{}", refused.stderr);
}

#[tokio::test]
async fn what_the_environment_says_is_taken_as_it_is_written() {
    let depot = Depot::on(Database::Sqlite)
        .environment("IMAGEDEPOT__TREE__ALIAS", Some("00000815"))
        .environment("IMAGEDEPOT__TREE__GRACE", Some(""))
        .environment("IMAGEDEPOT__STORE__URL_FILE", Some(""))
        .environment("IMAGEDEPOT__SERVER__TRUSTED_PROXIES", Some("127.0.0.1, 10.0.0.0/8"))
        .environment(
            "IMAGEDEPOT__ACCESS__CORS",
            Some("https://a.example.com,https://b.example.com"),
        )
        .environment("IMAGEDEPOT__TREE__MAX_DOWNLOADS", Some("1000"))
        .start()
        .await;
    depot.admin().published_image("win7-office", "production").await;
    depot.anonymous().get("/00000815/win7-office_1.ckm").await.expecting(200);
    let bucket = |region: &str| {
        let mut check = imagedepot(["check-config"]);
        check.env("IMAGEDEPOT__STORE__URL", "s3://2024.10/00000815");
        check.env("IMAGEDEPOT__STORE__OPTIONS__REGION", region);
        run(check)
    };
    bucket("2024.10").await.successful();
}

#[tokio::test]
async fn listeners_and_their_lists_come_from_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    std::fs::write(&file, "[[listener]]\naddress = \"127.0.0.1:8081\"\n").expect("settings");
    let listeners = async |variables: &[(&str, &str)]| {
        let mut check = imagedepot(["check-config", "--output", "json", "--config"]);
        check.arg(&file).current_dir(folder.path());
        for (key, value) in variables {
            check.env(format!("IMAGEDEPOT__LISTENER__{key}"), value);
        }
        run(check).await
    };
    let changed = listeners(&[
        ("0__ADDRESS", "127.0.0.1:8082"),
        ("0__WAYS_IN", "bearer"),
        ("1__ADDRESS", "0.0.0.0:8083"),
        ("1__WAYS_IN__0", "bearer"),
    ]);
    let told = changed.await.successful().last_line();
    assert_eq!(
        told["listeners"],
        serde_json::json!(["http://127.0.0.1:8082", "http://0.0.0.0:8083"])
    );
    // A mistake has the name of the variable; a gap is one.
    let wrong = listeners(&[("0__WAYS_IN", "bearer,basik")]).await;
    assert!(wrong.stderr.contains("IMAGEDEPOT__LISTENER__0__WAYS_IN"), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("basik") && wrong.stderr.contains("negotiate"),
        "{}",
        wrong.stderr
    );
    assert_eq!(listeners(&[("3__ADDRESS", "127.0.0.1:8084")]).await.code, 2);
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    let check = async |text: &str| {
        std::fs::write(&file, text).expect("write the settings");
        let mut check = imagedepot(["check-config", "--config"]);
        check.arg(&file).current_dir(folder.path());
        let refused = run(check).await;
        assert_eq!(refused.code, 2, "{text}: {}", refused.stderr);
        refused.stderr
    };
    let told =
        check("[tree]\ngrase = \"1h\"\n\n[log]\nformat = \"xml\"\n[bits]\ncommit = 7\n[tre]\n")
            .await;
    for (line, words) in [(2, "grase"), (5, "text"), (7, "bits.commit"), (8, "unknown field `tre`")]
    {
        let place = format!("imagedepot.toml, line {line}: ");
        let said = told.lines().find(|said| said.contains(&place));
        assert!(said.is_some_and(|said| said.contains(words)), "{line} {words}:\n{told}");
    }
    let told = check("[checks]\nperiod = \"1s\"\n[tree]\nalias = \"api\"\n").await;
    assert!(
        told.contains("line 2: checks.period") && told.contains("line 4: tree.alias"),
        "{told}"
    );
}

#[tokio::test]
async fn what_a_server_would_end_at_check_config_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "x").expect("a file");
    let file = folder.path().join("imagedepot.toml");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let endpoint = |endpoint: &str| {
        format!("[store]\nurl = \"s3://x/y\"\n[store.options]\nendpoint = '{endpoint}'\n")
    };
    let two = |one: &str, other: &str| {
        let listener =
            |address| format!("[[listener]]\naddress = \"{address}\"\nways_in = [\"bearer\"]\n");
        listener(one) + &listener(other)
    };
    for (text, named) in [
        (endpoint("minio:9000"), "endpoint"),
        (endpoint("http://mi nio:9000"), "endpoint"),
        (endpoint("http://"), "endpoint"),
        (endpoint("ftp://minio"), "endpoint"),
        (endpoint("http://minio:9000/{bucket}"), "endpoint"),
        (endpoint("https://a:hunter2@minio"), "endpoint"),
        ("[catalog]\nurl = \"postgres://a:hunter2@db/x?pasword=hunter2\"\n".to_owned(), "pasword"),
        ("[catalog]\nurl = \"postgres://a:hunter2@db:port/x\"\n".to_owned(), "catalog.url"),
        (format!("[catalog]\nurl = \"sqlite:{}\"\n", at("no/such.sqlite")), "does not exist"),
        (format!("[catalog]\nurl = \"sqlite:{}\"\n", at("")), "is a folder"),
        (format!("[log]\naccess = \"{}\"\n", at("no/access.log")), "does not exist"),
        (format!("[store]\nurl = \"file://{}\"\n", at("file")), "is a file"),
        (format!("[tree]\nurl = \"file://{}\"\n", at("file/tree")), "is a file"),
        (two("0.0.0.0:8081", "127.0.0.1:8081"), "0.0.0.0:8081 and 127.0.0.1:8081"),
        (two("[::]:8081", "[::1]:8081"), "[::]:8081 and [::1]:8081"),
        (two("127.0.0.1:8081", "192.0.2.1:8082"), "not an address of this machine"),
    ] {
        std::fs::write(&file, &text).expect("write the settings");
        let mut check = imagedepot(["check-config", "--config"]);
        check.arg(&file).current_dir(folder.path());
        let refused = run(check).await;
        assert_eq!(refused.code, 2, "{text}: {}", refused.stderr);
        assert!(refused.stderr.contains(named), "{text}: {}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{text}: {}", refused.stderr);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 2, "it made something: {left:?}");
}

#[tokio::test]
async fn ipv4_and_ipv6_listen_on_one_port() {
    let port = free_port();
    let settings = format!(
        "[[listener]]\naddress = \"[::]:{port}\"\nways_in = [\"bearer\"]\n\
         [[listener]]\naddress = \"0.0.0.0:{port}\"\nways_in = [\"bearer\"]\n"
    );
    let _depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    for host in ["127.0.0.1", "[::1]"] {
        let mut fetch = curl();
        fetch.arg(format!("http://{host}:{port}/livez"));
        run(fetch).await.successful();
    }
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
        depot.server.log().contains("restart applies: tree.alias, metrics.listen").then_some(())
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
