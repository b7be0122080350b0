//! Every command when something is not as it should be: nobody reads its output, the server or the database is away, a folder
//! cannot be written, a name is wrong. The exit code is the right one, one clear line says why, nothing is left behind, and
//! scripts read a problem.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::join_all;

use crate::harness::actions::{ckm, index};
use crate::harness::command::{Finished, imagedepot, run, to_server};
use crate::harness::folder::files_below;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    who_hangs_up_on_a_command_does_it_no_harm,
    a_wrong_name_is_told_with_the_nearest
];

/// The object that a command works on, and so needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// A server, by HTTP.
    Server,
    /// The catalog, which has to be there.
    Catalog,
    /// Nothing but what it is told.
    Itself,
}
use On::{Catalog, Itself, Server};

/// Commands as they are typed beside a running server, and their exit codes. Words in capitals are put in by [`typed`].
const COMMANDS: &[(On, &str, i32)] = &[
    (Server, "push another CKM INDEX --channel test", 0),
    (Server, "pull win7-office --to NEW", 0),
    (Server, "agent win7-office --once --to NEW", 0),
    (Itself, "agent status --to NEW", 0),
    (Itself, "mirror production --once --to NEW --trust NEW", 8),
    (Server, "prestage win7-office --to NEW", 0),
    (Server, "simulate --image win7-office --clients 5 --period 1s --duration 1s", 0),
    (Itself, "verify NEW", 8),
    (Itself, "verify http://127.0.0.1:1/MEDVImages --trust NEW", 8),
    (Itself, "delta chunks CKM win7.chunks", 0),
    (Itself, "delta make INDEX CKM win7.delta", 0),
    (Itself, "delta apply INDEX win7.delta again.ckm", 0),
    (Server, "image create lab --kind single", 0),
    (Server, "image list", 0),
    (Server, "image show lab", 0),
    (Server, "image set lab --description Lab", 0),
    (Server, "image delete lab", 0),
    (Server, "revision list win7-office", 0),
    (Server, "revision show win7-office 1", 0),
    (Server, "revision protect win7-office 1", 0),
    (Server, "revision set win7-office 1 --notes January", 0),
    (Server, "revision revoke win7-office 1 --withdraw --dry-run", 0),
    (Server, "revision delete win7-office 1", 6),
    (Server, "channel create pilot", 0),
    (Server, "channel list", 0),
    (Server, "channel show pilot", 0),
    (Server, "channel set pilot --keep-old 2", 0),
    (Server, "promote win7-office 1 pilot", 0),
    (Server, "rollback win7-office pilot", 6),
    (Server, "rollout show win7-office pilot", 0),
    (Server, "approve win7-office pilot", 5),
    (Server, "pin set win7-office pilot PC-0815 1", 0),
    (Server, "pin list win7-office pilot", 0),
    (Server, "pin show win7-office pilot PC-0815", 0),
    (Server, "pin delete win7-office pilot PC-0815", 0),
    (Server, "withdraw win7-office pilot", 0),
    (Server, "channel delete pilot", 0),
    (Server, "check win7-office", 0),
    (Server, "client show nobody", 5),
    (Server, "history win7-office", 0),
    (Server, "upload list", 0),
    (Server, "status", 0),
    (Server, "user add lee --role reader", 0),
    (Server, "user passwd lee", 0),
    (Server, "user list", 0),
    (Server, "user delete lee", 0),
    (Server, "token create pc --role client", 0),
    (Server, "token list", 0),
    (Server, "token revoke pc", 0),
    (Server, "certificate-mapping add lab --user admin --rule subject.OU=Lab", 0),
    (Server, "certificate-mapping list", 0),
    (Server, "certificate-mapping remove lab", 0),
    (Server, "audit list", 0),
    (Server, "audit verify", 0),
    (Server, "audit export", 0),
    (Itself, "completion bash", 0),
    (Itself, "man NEW", 0),
    (Catalog, "user list", 0),
    (Catalog, "user add kim --role reader", 0),
    (Catalog, "user passwd kim", 0),
    (Catalog, "user roles kim client", 0),
    (Catalog, "user images kim win7-*", 0),
    (Catalog, "user disable kim", 0),
    (Catalog, "user enable kim", 0),
    (Catalog, "user delete kim", 0),
    (Catalog, "token create robot --role reader", 0),
    (Catalog, "token list", 0),
    (Catalog, "token revoke robot", 0),
    (Catalog, "token rotate-key", 0),
    (Catalog, "trust show", 0),
    (Catalog, "trust export-root --out NEW", 0),
    (Catalog, "trust rotate timestamp", 0),
    (Catalog, "trust init --out next-root", 0),
    (Catalog, "trust rotate timestamp --out next-key", 0),
    (Catalog, "trust pending --out waiting", 6),
    (Catalog, "trust import next-root", 0),
    (Itself, "trust keygen --out key", 0),
    (Itself, "trust sign next-root", 0),
    (Catalog, "certificate-mapping add sales --user admin --rule subject.OU=Sales", 0),
    (Catalog, "certificate-mapping list", 0),
    (Catalog, "certificate-mapping remove sales", 0),
    (Catalog, "audit list", 0),
    (Catalog, "audit verify", 0),
    (Catalog, "audit export", 0),
    (Catalog, "audit prune --keep 400days --dry-run", 0),
    (Catalog, "gc --dry-run", 0),
    (Catalog, "scrub", 0),
    (Catalog, "scrub --status", 0),
    (Catalog, "backup --to NEW", 0),
    (Catalog, "export win7-office --to NEW", 0),
    (Catalog, "move --give-up", 0),
    (Catalog, "migrate", 0),
    (Itself, "import --tree NEW", 8),
    (Itself, "restore --from NEW --list", 1),
    (Itself, "catalog rebuild", 1),
    (Itself, "check-config", 0),
    (Itself, "check-config --example", 0),
    (Itself, "openapi", 0),
    (Itself, "serve --listen 127.0.0.1:0", 1),
    (Itself, "demo --data DATA", 8),
];

/// The command, on this data folder, with this folder for what it makes.
fn typed(line: &str, data: &Path, scratch: &Path) -> Command {
    let mut command = imagedepot([]);
    for word in line.split(' ') {
        match word {
            "CKM" => command.arg(scratch.join("win7.ckm")),
            "INDEX" => command.arg(scratch.join("win7.ckm.index")),
            "NEW" => command.arg(new_folder(line, scratch)),
            "DATA" => command.arg(data),
            word => command.arg(word),
        };
    }
    command.env("IMAGEDEPOT_NEW_PASSWORD", "the password of kim").env("RUST_BACKTRACE", "0");
    command.current_dir(scratch);
    command
}

fn new_folder(line: &str, scratch: &Path) -> PathBuf {
    scratch.join("new").join(line.split(' ').next().expect("a command"))
}

fn on_data(mut command: Command, line: &str, data: &Path) -> Command {
    if !["agent", "completion", "delta", "demo", "man", "mirror", "openapi", "verify"]
        .contains(&line.split(' ').next().expect("a command"))
    {
        command.arg("--data").arg(data);
    }
    command
}

fn write_image(folder: &Path) {
    std::fs::write(folder.join("win7.ckm"), ckm(7)).expect("write the image");
    std::fs::write(folder.join("win7.ckm.index"), index(7)).expect("write the index");
}

async fn who_hangs_up_on_a_command_does_it_no_harm(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    write_image(depot.scratch());
    for (on, line, ends) in COMMANDS {
        let mut command = typed(line, depot.server.data(), depot.scratch());
        if *on == Server {
            command = to_server(command, &depot.server.url());
        } else {
            command = on_data(command, line, depot.server.data());
            command.envs(depot.environment());
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let ended = tokio::task::spawn_blocking(move || command.status()).await;
        let code = ended.expect("the waiting thread").expect("the command").code();
        assert_eq!(code, Some(*ends), "{line}");
    }
    // It was done all the same.
    assert_eq!(depot.admin().assignment("another", "test").await["revision"], 1);
    assert!(files_below(depot.scratch()).keys().any(|path| path.contains("new/backup/catalogs/")));
}

#[tokio::test]
async fn every_command_stands_in_the_table() {
    let help = run(imagedepot(["--help"])).await.successful().stdout;
    let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next());
    let named = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let there: BTreeSet<_> = commands.expect("commands").lines().filter_map(named).collect();
    let table = COMMANDS.iter().filter_map(|(_, line, _)| named(line));
    let known: BTreeSet<_> = table.chain(["help".to_owned()]).collect();
    assert_eq!(there, known);
}

/// One line on standard error, and with `--output json` a problem on standard output.
#[track_caller]
fn assert_told(line: &str, ended: &Finished, code: i32) {
    assert_eq!(ended.code, code, "{line}: {}", ended.stderr);
    let said: Vec<_> = ended.stderr.lines().collect();
    assert!(said.len() == 1 && said[0].starts_with("imagedepot: "), "{line}: {}", ended.stderr);
    let problem = ended.last_line();
    assert_eq!(problem["exit_code"], code, "{line}: {problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty() && said[0].contains(detail), "{line}: {problem}");
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    write_image(folder.path());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a data folder");
    let nobody = free_port();
    // All at once: each waits for the database for a while.
    let commands = COMMANDS.iter().filter(|(on, ..)| *on != Itself).map(|(on, line, _)| {
        let mut command = typed(line, &data, folder.path());
        command.args(["--output", "json"]);
        if *on == Server {
            command = to_server(command, &format!("http://127.0.0.1:{nobody}"));
        } else {
            command = on_data(command, line, &data);
            let url = format!("postgres://depot@127.0.0.1:{nobody}/depot");
            command.env("IMAGEDEPOT__CATALOG__URL", url);
        }
        async move { (*line, run(command).await) }
    });
    for (line, ended) in join_all(commands).await {
        assert_told(line, &ended, 3);
    }
    // An agent notes that it has asked in vain, for `agent status`.
    let left = files_below(&folder.path().join("new"));
    let left: Vec<_> = left.keys().filter(|path| !path.contains("/.agent.")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[tokio::test]
async fn a_data_folder_that_is_mistyped_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let typo = folder.path().join("imagedpot");
    for (_, line, _) in COMMANDS.iter().filter(|(on, ..)| *on == Catalog) {
        let mut command = on_data(typed(line, &typo, folder.path()), line, &typo);
        command.args(["--output", "json"]);
        assert_told(line, &run(command).await, 5);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    // Whoever runs the tests, below a file there is no folder.
    std::fs::write(depot.scratch().join("file"), "x").expect("a file");
    let below = depot.scratch().join("file/below");
    for line in [
        "backup --to BELOW",
        "export win7-office --to BELOW",
        "token create robot --role reader --out BELOW",
        "import --tree BELOW",
        "pull win7-office --to BELOW",
        "prestage win7-office --to BELOW",
        "man BELOW",
    ] {
        let mut command = imagedepot([]);
        command.env("RUST_BACKTRACE", "0");
        for word in line.split(' ') {
            command.arg(if word == "BELOW" { below.as_os_str() } else { word.as_ref() });
        }
        command.args(["--output", "json"]);
        command = if line.contains("win7-office --to") && !line.starts_with("export") {
            to_server(command, &depot.server.url())
        } else {
            on_data(command, line, depot.server.data())
        };
        let ended = run(command).await;
        assert_told(line, &ended, 8);
        assert!(ended.stderr.contains("file/below"), "{line}: {}", ended.stderr);
    }
    let mut list = imagedepot(["token", "list", "--data"]);
    list.arg(depot.server.data());
    assert_eq!(run(list).await.successful().stdout, "", "a token that nobody was told");
}

async fn a_wrong_name_is_told_with_the_nearest(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "production").await;
    write_image(depot.scratch());
    for (on, line, near) in [
        (
            Server,
            "pull win7-ofice --to NEW",
            "no image named win7-ofice; did you mean win7-office?",
        ),
        (Server, "pull win7-office --channel prodution --to NEW", "did you mean production?"),
        (Server, "prestage win7-ofice --to NEW", "did you mean win7-office?"),
        (Server, "simulate --image win7-ofice --clients 5", "did you mean win7-office?"),
        (Server, "push win7-office CKM INDEX --channel tets", "did you mean test?"),
        (Server, "image set win7-ofice --description x", "did you mean win7-office?"),
        (Server, "revision show win7-ofice 1", "did you mean win7-office?"),
        (Server, "promote win7-office 1 prodution", "did you mean production?"),
        (Server, "rollout show win7-ofice production", "did you mean win7-office?"),
        (Server, "history win7-ofice", "did you mean win7-office?"),
        (Server, "check win7-ofice", "did you mean win7-office?"),
        (Server, "channel show tets", "did you mean test?"),
        (Server, "user disable admn", "no user named admn; did you mean admin?"),
        (Server, "token revoke robot", "no token named robot"),
        (Server, "certificate-mapping remove sales", "no certificate mapping named sales"),
        (Catalog, "user passwd admn", "no user named admn; did you mean admin?"),
        (Catalog, "user disable admn", "did you mean admin?"),
        (Catalog, "user delete admn", "did you mean admin?"),
        (Catalog, "scrub --image win7-ofice", "did you mean win7-office?"),
        (Catalog, "export win7-ofice --to NEW", "did you mean win7-office?"),
        (Catalog, "token revoke robot", "no token named robot"),
        (Catalog, "certificate-mapping remove sales", "no certificate mapping named sales"),
    ] {
        let mut command = typed(line, depot.server.data(), depot.scratch());
        command.args(["--output", "json"]);
        command = match on {
            Server => to_server(command, &depot.server.url()),
            _ => on_data(command, line, depot.server.data()),
        };
        if on == Catalog {
            command.envs(depot.environment());
        }
        let ended = run(command).await;
        assert_told(line, &ended, 5);
        assert!(ended.stderr.contains(near), "{line}: {}", ended.stderr);
    }
    assert!(!depot.scratch().join("new").exists(), "something was left behind");
}

#[tokio::test]
async fn names_that_the_caller_may_not_list_are_not_offered() {
    let depot = Depot::start(Database::Sqlite).await;
    depot.admin().published_image("win7-office", "production").await;
    let url = depot.server.url();
    let mut pull = imagedepot(["pull", "win7-ofice", "--to", "nowhere", "--server", &url]);
    pull.current_dir(depot.scratch());
    let ended = run(pull).await;
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(!ended.stderr.contains("win7-office"), "{}", ended.stderr);
}
