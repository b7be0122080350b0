//! The types that openapi-typescript makes, and the client of hey-api.

use std::path::Path;
use std::process::Command;

use super::{DESCRIPTION, Life, copy, installed};
use crate::harness::Database;
use crate::harness::command::run;

#[tokio::test]
async fn types_generated_for_typescript_pass_the_type_check() {
    let generator =
        installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/.bin/openapi-typescript");
    let compiler = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules/.bin/tsc");
    let folder = tempfile::tempdir().expect("a folder");
    let mut generate = Command::new(generator);
    generate.args([DESCRIPTION, "--output"]).arg(folder.path().join("imagedepot.d.ts"));
    run(generate).await.successful();
    copy("update_check.ts", folder.path().join("update_check.ts"));
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

#[tokio::test]
async fn hey_api_s_client_leads_an_image_through_its_life() {
    let life = Life::begin(Database::Sqlite).await;
    let folder = life.folder("typescript");
    let modules = installed("IMAGEDEPOT_TEST_NODE", "node", "node_modules");
    std::os::unix::fs::symlink(&modules, folder.join("node_modules")).expect("find the modules");
    let program = |name: &str| {
        let mut program = Command::new(modules.join(".bin").join(name));
        program.current_dir(&folder);
        program
    };
    let mut generate = program("openapi-ts");
    generate.args(["--input", DESCRIPTION, "--output", "imagedepot"]);
    generate.args(["--client", "@hey-api/client-fetch", "--no-log-file"]);
    run(generate).await.successful();

    copy("life_of_an_image.ts", folder.join("life_of_an_image.ts"));
    let mut compile = program("tsc");
    compile.args(["--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "node"]);
    compile.args(["--module", "commonjs", "--moduleResolution", "node10", "--skipLibCheck"]);
    compile.args(["--outDir", "compiled", "life_of_an_image.ts"]);
    let compiled = run(compile).await;
    assert_eq!(compiled.code, 0, "{}", compiled.stdout);
    let mut led = Command::new("node");
    led.arg(Path::new(&folder).join("compiled/life_of_an_image.js"));
    life.is_led_by(led).await;
}
