//! The commands that README and the first start tell people to type, typed as they are written.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::actions::{ckm, index};
use crate::harness::command::{Finished, guarded, imagedepot, run, without_own_settings};
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::project::program;
use crate::harness::server::free_port;
use crate::harness::{Database, Depot, eventually};

const README: &str = include_str!("../../README.md");

/// The code behind a heading, the first block or a later one.
fn code(heading: &str, block: usize) -> String {
    let (_, behind) = README.split_once(heading).expect("the heading");
    let blocks = behind.split("\n## ").next().unwrap_or_default().split("```sh\n").skip(1);
    let code = blocks.map(|block| block.split("```").next().unwrap_or_default()).nth(block);
    code.expect("a block of code").to_owned()
}

/// Runs a command with the address and the password filled in; every curl that is refused fails.
async fn typed(code: &str, depot: &Depot, folder: &Path) -> Finished {
    let code = code.replace("http://127.0.0.1:8080", &depot.server.url());
    let code = code.replace("admin:PASSWORD ", "\"admin:$PASSWORD\" ");
    let code = code.replace("=PASSWORD\n", "=\"$PASSWORD\"\n").replace("$A", "\"$A\"");
    assert!(code.contains("$PASSWORD"), "{code}");
    let program = Path::new(program()).parent().expect("its folder");
    let path = std::env::var("PATH").expect("a path");
    let mut shell = Command::new("bash");
    without_own_settings(&mut shell);
    shell.arg("-euc").arg(format!(
        "curl() {{ command curl --disable --noproxy '*' --silent --show-error --fail \"$@\"; }}\n{code}"
    ));
    shell.env("PATH", format!("{}:{path}", program.display())).env("PASSWORD", ADMIN_PASSWORD);
    shell.env("IMAGEDEPOT_STATE_DIR", folder.join("state"));
    shell.current_dir(folder);
    run(shell).await.successful()
}

#[tokio::test]
async fn the_walks_of_the_readme_run_as_they_are_written() {
    let depot = Depot::start(Database::Sqlite).await;
    let folder = depot.scratch().join("person");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("office.ckm"), ckm(1)).expect("write the image");
    std::fs::write(folder.join("office.ckm.index"), index(1)).expect("write the index");
    let told = typed(&code("## An image's life, with curl", 0), &depot, &folder).await.stdout;
    assert!(told.contains("first_install"), "{told}");
    let fetched = std::fs::read(folder.join("win7-office_1.ckm")).expect("fetched");
    assert!(fetched == ckm(1), "other bytes");
    let pulled = typed(&code("## An image's life, with curl", 1), &depot, &folder).await;
    assert!(pulled.stdout.contains("verified"), "{}", pulled.stdout);
    let pulled = std::fs::read(folder.join("images/win7-office_1.ckm")).expect("pulled");
    assert!(pulled == ckm(1), "other bytes");
    let page = depot.admin().get("/api/v1/images/win7-office/revisions").await.items();
    assert_eq!(page.len(), 1, "the same files were pushed as another revision");
}

#[tokio::test]
async fn curl_goes_on_with_a_file_only_where_it_fails_on_refusals() {
    let documents =
        [README, include_str!("../../docs/access.md"), include_str!("../../docs/operations.md")];
    for line in documents.iter().flat_map(|text| text.lines()) {
        let is_resumed = line.contains("curl") && line.contains("-C -");
        assert!(!is_resumed || line.contains("--fail"), "a refusal would be kept as bytes: {line}");
    }
}

#[tokio::test]
async fn the_command_that_the_first_start_prints_sets_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("the settings.toml");
    std::fs::write(&settings, "[tree]\ngrace = \"1h\"\n").expect("write the settings");
    let output = folder.path().join("output");
    let port = free_port();
    let mut serve = guarded(program());
    without_own_settings(&mut serve);
    serve.args(["serve", "--data", "data", "--listen", &format!("127.0.0.1:{port}"), "--config"]);
    serve.arg(&settings).current_dir(folder.path());
    let file = std::fs::File::create(&output).expect("a file for the output");
    let mut server = serve.stdout(file).stderr(Stdio::null()).spawn().expect("start the server");
    let told = eventually("the first start tells the password", || async {
        let told = std::fs::read_to_string(&output).ok()?;
        told.contains("sets another").then_some(told)
    })
    .await;
    let command = told.split('`').nth(1).expect("a command").to_owned();
    let program = Path::new(program()).parent().expect("its folder");
    let mut shell = Command::new("sh");
    without_own_settings(&mut shell);
    shell.arg("-c").arg(format!("echo another long password | {command}")).current_dir("/");
    let path = std::env::var("PATH").expect("a path");
    shell.env("PATH", format!("{}:{path}", program.display()));
    let changed = run(shell).await.successful();
    assert!(changed.stdout.contains("admin has a new password"), "{}", changed.stdout);
    let url = format!("http://127.0.0.1:{port}");
    eventually("the new password counts", || async {
        let mut push = imagedepot(["pull", "nothing", "--to", "nowhere", "--server", &url]);
        push.env("IMAGEDEPOT_USER", "admin").env("IMAGEDEPOT_PASSWORD", "another long password");
        push.current_dir(folder.path());
        // Not found, and not refused.
        (run(push).await.code == 5).then_some(())
    })
    .await;
    server.kill().expect("end the server");
    server.wait().expect("its end");
}
