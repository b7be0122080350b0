//! Programs that others generate from the committed API description work: one in Python leads an
//! image through its life, one in TypeScript passes the type check.
//!
//! `tests/run` installs the generators below cargo's `target/tmp`. Where they lie elsewhere,
//! `IMAGEDEPOT_TEST_VENV` names the virtual environment and `IMAGEDEPOT_TEST_NODE` the folder that
//! holds `node_modules`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::actions::{ckm, index};
use crate::harness::command::run;
use crate::harness::depot::ADMIN_PASSWORD;
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![a_generated_python_client_leads_an_image_through_its_life];

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/imagedepot.json");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A program of one of the two environments; fails with what to do when it is not installed.
pub fn installed(variable: &str, folder: &str, program: &str) -> PathBuf {
    let root = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder), PathBuf::from);
    let path = root.join(program);
    assert!(
        path.exists(),
        "{} is missing: run tests/run once, which installs it, or name a folder with {variable}",
        path.display()
    );
    path
}

async fn a_generated_python_client_leads_an_image_through_its_life(database: Database) {
    let generator = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/openapi-python-client");
    let python = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python");
    let depot = Depot::start(database).await;
    let package = depot.scratch().join("imagedepot_client");
    let mut generate = Command::new(&generator);
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path", DESCRIPTION]);
    generate.arg("--output-path").arg(&package);
    // It calls its formatter by name.
    let path = std::env::join_paths(
        generator
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    generate.env("PATH", path.expect("a search path"));
    run(generate).await.successful();

    let ckm_file = depot.scratch().join("win7-office.ckm");
    let index_file = depot.scratch().join("win7-office.ckm.index");
    std::fs::write(&ckm_file, ckm(1)).expect("write the image");
    std::fs::write(&index_file, index(1)).expect("write the index");
    let mut life = Command::new(python);
    life.arg(Path::new(SCRIPTS).join("life_of_an_image.py"))
        .args([&depot.server.url(), "admin", ADMIN_PASSWORD])
        .args([&ckm_file, &index_file])
        .env("PYTHONPATH", depot.scratch())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let told = run(life).await.successful().stdout;
    assert!(told.contains("win7-office 1 is published"), "{told}");
    // What the script says is so.
    assert_eq!(depot.admin().assignment("win7-office", "production").await["revision"], 1);
}

#[tokio::test]
async fn types_generated_for_typescript_pass_the_type_check() {
    let generator =
        installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/.bin/openapi-typescript");
    let compiler = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/.bin/tsc");
    let folder = tempfile::tempdir().expect("a folder");
    let mut generate = Command::new(generator);
    generate.args([DESCRIPTION, "--output"]).arg(folder.path().join("imagedepot.d.ts"));
    run(generate).await.successful();
    std::fs::copy(
        Path::new(SCRIPTS).join("update_check.ts"),
        folder.path().join("update_check.ts"),
    )
    .expect("copy the script");
    let check = |file: &str| {
        let mut check = Command::new(&compiler);
        check.args(["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"]);
        check.args(["--module", "es2022", "--moduleResolution", "bundler"]);
        check.arg(file).current_dir(folder.path());
        run(check)
    };
    let checked = check("update_check.ts").await;
    assert_eq!(checked.code, 0, "{}", checked.stdout);
    // The check can fail: a field of the wrong kind is found.
    let wrong = std::fs::read_to_string(folder.path().join("update_check.ts"))
        .expect("the script")
        .replace("kind: \"medv\"", "kind: \"floppy\"");
    std::fs::write(folder.path().join("wrong.ts"), wrong).expect("write a wrong script");
    assert_ne!(check("wrong.ts").await.code, 0, "a wrong script passes the type check");
}
