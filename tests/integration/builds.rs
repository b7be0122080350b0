//! The shipped programs: the client's build, and a program without its debug information, which is in a file beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::generated_clients::installed;
use crate::harness::actions::{ckm, index};
use crate::harness::command::{Finished, another_imagedepot, imagedepot, run, to_server};
use crate::harness::project::{program, project};
use crate::harness::{Database, Depot};

/// The client's build, by `tests/run`.
fn client() -> PathBuf {
    installed("IMAGEDEPOT_TEST_CLIENT", "client", "imagedepot")
}

#[tokio::test]
async fn the_client_alone_brings_an_image_from_folder_to_folder() {
    let depot = Depot::start(Database::Sqlite).await;
    let (url, program) = (depot.server.url(), client());
    let place = |name: &str| depot.scratch().join(name).display().to_string();
    let [image, index_file] = [place("win7-office.ckm"), place("win7-office.ckm.index")];
    fs::write(&image, ckm(1)).expect("write the image");
    fs::write(&index_file, index(1)).expect("write the index");
    let push = ["push", "win7-office", &image, &index_file, "--channel", "production"];
    run(to_server(another_imagedepot(&program, push), &url)).await.successful();

    let to = place("client");
    let pull = ["pull", "win7-office", "--to", &to, "--output", "json"];
    let pulled = run(to_server(another_imagedepot(&program, pull), &url)).await.successful();
    assert_eq!(pulled.last_line()["image"], json!("win7-office"));
    assert!(fs::read(Path::new(&to).join("win7-office_1.ckm")).expect("pulled") == ckm(1));

    let kit = place("kit");
    let prestage = ["prestage", "win7-office", "--to", &kit];
    run(to_server(another_imagedepot(&program, prestage), &url)).await.successful();
    run(another_imagedepot(&program, ["verify", &kit])).await.successful();
}

#[tokio::test]
async fn the_client_has_the_commands_that_work_over_http_alone() {
    let program = client();
    let help = run(another_imagedepot(&program, ["--help"])).await.successful().stdout;
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let transfers = ["push", "pull", "agent", "mirror", "prestage", "verify", "simulate", "delta"];
    let daily = [
        "image", "revision", "channel", "promote", "rollback", "withdraw", "approve", "pin",
        "rollout", "check", "client", "history", "upload", "status",
    ];
    let accounts = ["user", "token", "certificate-mapping", "audit"];
    let others = ["completion", "man", "trust", "help"];
    let expected: Vec<_> =
        transfers.into_iter().chain(daily).chain(accounts).chain(others).collect();
    assert_eq!(commands, expected);
    assert!(!help.contains("--config"), "settings are the server's: {help}");
    let pull = run(another_imagedepot(&program, ["pull", "--help"])).await.successful().stdout;
    assert!(pull.contains("--channel"), "{pull}");
    assert_eq!(run(another_imagedepot(&program, ["serve"])).await.code, 2, "no such command");
    let trust = run(another_imagedepot(&program, ["trust", "--help"])).await.successful().stdout;
    assert!(trust.contains("keygen") && !trust.contains("import"), "the catalog is away: {trust}");
    let user = run(another_imagedepot(&program, ["user", "--help"])).await.successful().stdout;
    assert!(user.contains("--server") && !user.contains("--data"), "{user}");
}

#[tokio::test]
async fn the_client_alone_does_daily_work_and_manages_accounts() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "test").await;
    let (url, program) = (depot.server.url(), client());
    let typed = |line: &'static str| {
        let mut command = another_imagedepot(&program, []);
        command.args(line.split(' ')).args(["--output", "json"]);
        run(to_server(command, &url))
    };
    typed("promote win7-office 1 production").await.successful();
    let created = typed("token create robot --role reader").await.successful().last_line();
    assert!(created["token"].is_string(), "{created}");
    let users = typed("user list").await.successful().last_line();
    assert_eq!(users["items"][0]["name"], json!("admin"));
    assert_eq!(typed("audit verify").await.successful().last_line()["sound"], json!(true));
    let refused = typed("token revoke nobody").await;
    assert_eq!((refused.code, &refused.last_line()["exit_code"]), (5, &json!(5)));
    let rotate = typed("token rotate-key").await;
    assert_eq!(rotate.code, 2, "it works on the catalog: {}", rotate.stderr);
}

/// A command that cannot be done: there is no such file of settings.
const FAILING: [&str; 4] = ["user", "list", "--config", "/no/such/file"];

/// Runs the failing command with a backtrace.
async fn backtrace(program: &Path) -> Finished {
    let mut command = another_imagedepot(program, FAILING);
    command.env("RUST_BACKTRACE", "1");
    let failed = run(command).await;
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    failed
}

/// Reports whether the backtrace names lines of this project's own files.
fn names_lines(backtrace: &Finished) -> bool {
    let own = "src/command_line/server.rs:";
    let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    backtrace.stderr.split(own).skip(1).any(numbered)
}

#[tokio::test]
async fn a_stripped_program_names_lines_by_the_file_beside_it() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let built = Path::new(program());
    let deploy = project().join("deploy");
    let mut split = Command::new(deploy.join("split-debug"));
    split.arg(built).arg(place.path());
    run(split).await.successful();
    let (program, debug) = (place.path().join("imagedepot"), place.path().join("imagedepot.debug"));
    let mut sections = Command::new("readelf");
    sections.args(["--sections", "--wide"]).arg(&program);
    let sections = run(sections).await.successful().stdout;
    assert!(sections.contains(".gnu_debuglink"), "{sections}");
    assert!(!sections.contains(".debug_info") && !sections.contains(".symtab"), "{sections}");

    let told = backtrace(&program).await;
    assert!(names_lines(&told), "{}", told.stderr);
    // Where a package puts such files: out of the way.
    let aside = place.path().join(".debug");
    fs::create_dir(&aside).expect("a folder");
    fs::rename(&debug, aside.join("imagedepot.debug")).expect("move it");
    let told = backtrace(&program).await;
    assert!(names_lines(&told), "{}", told.stderr);
    // It is that file alone that has them.
    fs::remove_dir_all(&aside).expect("take it away");
    let told = backtrace(&program).await;
    assert!(!names_lines(&told), "{}", told.stderr);
}

#[tokio::test]
async fn an_error_comes_without_a_backtrace_unless_asked_for() {
    let mut command = imagedepot(FAILING);
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    let stderr = run(command).await.stderr;
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
