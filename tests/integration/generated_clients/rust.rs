//! The client for Rust of openapi-generator, on reqwest. It says of no file how long it is.

use std::path::Path;
use std::process::Command;

use super::{Life, copy, generate};
use crate::harness::Database;
use crate::harness::command::run;

#[tokio::test]
async fn a_generated_rust_client_leads_an_image_through_its_life() {
    let life = Life::begin(Database::Sqlite).await;
    let folder = life.folder("rust");
    generate("rust", "packageName=imagedepot_api,library=reqwest", &[], &folder).await;
    std::fs::create_dir(folder.join("examples")).expect("make a folder");
    copy("life_of_an_image.rs", folder.join("examples/life.rs"));
    // Its own workspace; it uses `tokio::main`, which the client does not need, and async closures.
    let manifest = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("its manifest");
    let text = text.replace("edition = \"2021\"", "edition = \"2024\"")
        + "\n[dev-dependencies]\ntokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\n\n[workspace]\n";
    std::fs::write(&manifest, text).expect("write its manifest");

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust");
    let mut compile = Command::new(env!("CARGO"));
    compile
        .args(["build", "--quiet", "--no-default-features", "--example", "life"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    run(compile).await.successful();
    life.is_led_by(Command::new(target.join("debug/examples/life"))).await;
}
