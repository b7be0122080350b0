//! The client for Go of openapi-generator, compiled with Debian's Go, without any other module.

use std::path::Path;
use std::process::Command;

use super::{Life, copy, generate};
use crate::harness::Database;
use crate::harness::command::run;

#[tokio::test]
async fn a_generated_go_client_leads_an_image_through_its_life() {
    let life = Life::begin(Database::Sqlite).await;
    let folder = life.folder("go");
    generate("go", "packageName=imagedepot,withGoMod=false", &[], &folder).await;
    std::fs::write(folder.join("go.mod"), "module imagedepot\n\ngo 1.19\n").expect("write go.mod");
    std::fs::create_dir(folder.join("life")).expect("make a folder");
    copy("life_of_an_image.go", folder.join("life/main.go"));

    let program = folder.join("life-of-an-image");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let mut compile = Command::new("go");
    compile
        .args(["build", "-o"])
        .arg(&program)
        .arg("./life")
        .current_dir(&folder)
        .env("GOPATH", cache.join("path"))
        .env("GOCACHE", cache.join("cache"))
        .envs([("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local")]);
    run(compile).await.successful();
    life.is_led_by(Command::new(program)).await;
}
