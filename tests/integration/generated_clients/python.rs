//! The client for Python of openapi-python-client, and the one of openapi-generator.

use std::path::Path;
use std::process::Command;

use super::{DESCRIPTION, Life, SCRIPTS, generate, installed};
use crate::harness::command::run;
use crate::harness::{Database, on_both_databases};

on_both_databases![a_generated_python_client_leads_an_image_through_its_life];

async fn a_generated_python_client_leads_an_image_through_its_life(database: Database) {
    let generator = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/openapi-python-client");
    let life = Life::begin(database).await;
    let folder = life.folder("python");
    let mut generate = Command::new(&generator);
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path", DESCRIPTION]);
    generate.arg("--output-path").arg(folder.join("imagedepot_client"));
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
    life.is_led_by(script("life_of_an_image.py", &folder)).await;
}

#[tokio::test]
async fn openapi_generator_s_python_client_leads_an_image_through_its_life() {
    let life = Life::begin(Database::Sqlite).await;
    let folder = life.folder("python");
    generate("python", "packageName=imagedepot", &[], &folder).await;
    life.is_led_by(script("life_by_openapi_generator.py", &folder)).await;
}

fn script(name: &str, packages: &Path) -> Command {
    let mut script = Command::new(installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python"));
    script
        .arg(Path::new(SCRIPTS).join(name))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    script
}
