//! The settings: an example that is true, and mistakes named with their place.

use crate::harness::command::{imagedepot, run};

#[tokio::test]
async fn the_example_settings_pass_their_own_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = run(imagedepot(["check-config", "--example"])).await.successful().stdout;
    for section in ["[server]", "[[listener]]", "[catalog]", "[store]", "[tree]", "[uploads]"] {
        assert!(example.contains(section), "{section} is missing:\n{example}");
    }
    let file = folder.path().join("imagedepot.toml");
    std::fs::write(&file, &example).expect("write the example");
    let file = file.display().to_string();
    run(imagedepot(["check-config", "--config", &file])).await.successful();
    run(imagedepot(["--config", &file, "check-config"])).await.successful();
    // With each comment sign taken away from what looks like a setting it is still none the worse:
    // what the example offers exists.
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line))
        .collect();
    std::fs::write(&file, uncommented.join("\n")).expect("write the example");
    let checked = run(imagedepot(["check-config", "--config", &file])).await;
    assert!(!checked.stderr.contains("unknown"), "{}", checked.stderr);
}

/// `key = value`, without the blank that stands before a sentence.
fn is_setting(text: &str) -> bool {
    text.split_once(" = ").is_some_and(|(key, _)| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
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
