//! The client for Java of openapi-generator (library `native`), compiled with Debian's JDK.
//!
//! Jackson with its module for times is not in Debian as a whole; the generator's own jar has it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Life, SCRIPTS, generate, installed};
use crate::harness::Database;
use crate::harness::command::run;
use crate::harness::folder::files_below;

const ANNOTATIONS: &str = "/usr/share/java/geronimo-annotation-1.3-spec.jar";

const PROPERTIES: &str = "library=native,openApiNullable=false,hideGenerationTimestamp=true,\
    invokerPackage=imagedepot,apiPackage=imagedepot.api,modelPackage=imagedepot.model";

#[tokio::test]
async fn a_generated_java_client_leads_an_image_through_its_life() {
    let life = Life::begin(Database::Sqlite).await;
    let folder = life.folder("java");
    let parts =
        "apis,models,supportingFiles,apiTests=false,modelTests=false,apiDocs=false,modelDocs=false";
    generate("java", PROPERTIES, &["--global-property", parts], &folder).await;

    let sources = folder.join("src/main/java");
    let files = files_below(&sources).into_keys().map(|path| sources.join(path));
    let generated = files.filter(|path| path.extension().is_some_and(|kind| kind == "java"));
    let mut compile = Command::new("javac");
    compile
        .args(["-nowarn", "-proc:none", "-cp"])
        .arg(class_path(&[generator_s_jar(), ANNOTATIONS.into()]))
        .arg("-d")
        .arg(folder.join("classes"))
        .args(generated)
        .arg(Path::new(SCRIPTS).join("LifeOfAnImage.java"));
    run(compile).await.successful();

    let mut program = Command::new("java");
    let classes = class_path(&[folder.join("classes"), generator_s_jar()]);
    program.arg(format!("-Djava.io.tmpdir={}", life.depot.scratch().display()));
    program.arg("-cp").arg(classes).arg("LifeOfAnImage");
    life.is_led_by(program).await;
}

fn class_path(parts: &[PathBuf]) -> OsString {
    std::env::join_paths(parts).expect("a class path")
}

/// In the virtual environment, below the folder of the Python version.
fn generator_s_jar() -> PathBuf {
    let library = installed("IMAGEDEPOT_TEST_VENV", "venv", "lib");
    let pythons = std::fs::read_dir(&library).expect("the virtual environment's libraries");
    pythons
        .filter_map(|python| Some(python.ok()?.path()))
        .map(|python| python.join("site-packages/openapi_generator_cli/openapi-generator.jar"))
        .find(|jar| jar.exists())
        .expect("openapi-generator's jar: run tests/run once, which installs it")
}
