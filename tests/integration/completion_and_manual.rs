//! What the program says of its own command line: a real bash completes it, and a real `man` shows its pages.

use std::process::Command;

use crate::harness::command::{imagedepot, run};
use crate::harness::folder::files_below;

/// Has bash complete a line whose words these are, and returns what it offers.
async fn completed(words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot");
    let script = run(imagedepot(["completion", "bash"])).await.successful().stdout;
    std::fs::write(&file, script).expect("write the script");
    let line = words.join(" ");
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "source {}\n\
         COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}\n\
         handler=$(complete -p imagedepot); handler=${{handler##*-F }}; handler=${{handler%% *}}\n\
         $handler imagedepot '{}' '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file.display(),
        quoted.join(" "),
        words.len() - 1,
        line.len(),
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &ask]);
    let offered = run(bash).await.successful();
    assert_eq!(offered.stderr, "", "bash complains");
    offered.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_commands_verbs_and_flags() {
    assert_eq!(completed(&["imagedepot", "rol"]).await, ["rollback", "rollout"]);
    let verbs = completed(&["imagedepot", "rollout", ""]).await;
    for verb in ["show", "set", "pause", "resume"] {
        assert!(verbs.iter().any(|offered| offered == verb), "{verb}: {verbs:?}");
    }
    let flags = completed(&["imagedepot", "promote", "--p"]).await;
    assert_eq!(flags, ["--percent", "--password", "--password-file"]);
    let server = completed(&["imagedepot", "user", "add", "--ser"]).await;
    assert_eq!(server, ["--server"]);
    let values = completed(&["imagedepot", "image", "create", "--kind", ""]).await;
    assert_eq!(values, ["medv", "single", "set"]);
}

#[tokio::test]
async fn every_shell_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(imagedepot(["completion", shell])).await.successful().stdout;
        assert!(
            script.contains("rollout") && script.contains("--percent") || shell == "fish",
            "{shell}"
        );
        assert!(script.contains("imagedepot"), "{shell}");
    }
}

#[tokio::test]
async fn man_shows_a_page_for_each_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("new/man1");
    let mut man = imagedepot(["man"]);
    man.arg(&pages).args(["--output", "json"]);
    let made = run(man).await.successful().last_line();
    let files = files_below(&pages);
    assert_eq!(made["pages"].as_u64(), Some(files.len() as u64), "{files:?}");
    for name in ["imagedepot.1", "imagedepot-push.1", "imagedepot-rollout-set.1"] {
        assert!(files.contains_key(name), "{name}: {files:?}");
    }
    for (name, words) in [
        ("imagedepot.1", ["rollout", "promote"]),
        ("imagedepot-promote.1", ["--percent", "IMAGE"]),
        ("imagedepot-user-add.1", ["--role", "--server"]),
    ] {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"]).arg(pages.join(name));
        man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100").env("MANPAGER", "cat");
        let shown = run(man).await.successful();
        assert_eq!(shown.stderr, "", "{name}");
        for word in words {
            assert!(shown.stdout.contains(word), "{name} {word}: {}", shown.stdout);
        }
    }
}
