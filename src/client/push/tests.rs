//! Pushing to a server that refuses, breaks off and stores other bytes.

use std::fs;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};
use clap::Args as _;
use serde_json::{Value, json};

use super::super::test_server::{problem, serve};
use super::*;
use crate::model::Digest;

/// A depot as the contract has it, for one image, with what it was asked and what it holds.
#[derive(Default)]
struct Depot {
    image: Option<Value>,
    files: Vec<Value>,
    asked: Vec<String>,
    /// Files to break the line on, before one goes through.
    cuts: usize,
    /// Stores something else than what arrived.
    corrupt: bool,
}

type Shared = Arc<Mutex<Depot>>;

impl Depot {
    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> HttpResponse {
        let path = path.trim_start_matches("/api/v1/images");
        self.asked.push(format!("{method} {path}"));
        match (method, path) {
            ("GET", "/disk") => match &self.image {
                Some(image) => HttpResponse::Ok().json(image),
                None => problem(404, "unknown_image"),
            },
            ("POST", "") => {
                self.image = serde_json::from_slice(body).ok();
                HttpResponse::Created().json(&self.image)
            }
            ("POST", "/disk/revisions") => HttpResponse::Created()
                .insert_header(("Location", "https://elsewhere/api/v1/images/disk/revisions/7"))
                .finish(),
            ("PUT", "/disk/channels/test") => {
                HttpResponse::Ok().json(json!({ "revision": 7, "epoch": 4 }))
            }
            ("PUT", file) => {
                let digest = Digest::of(if self.corrupt { b"something else" } else { body });
                let role = file.rsplit('/').next().unwrap();
                self.files.push(
                    json!({ "role": role, "size": body.len(), "digest": digest.to_string() }),
                );
                HttpResponse::Created().finish()
            }
            ("GET", "/disk/revisions/7") => HttpResponse::Ok()
                .json(json!({ "number": 7, "state": "draft", "files": self.files })),
            ("PATCH", "/disk/revisions/7") | ("POST", "/disk/revisions/7/seal") => {
                HttpResponse::Ok().finish()
            }
            ("DELETE", "/disk/revisions/7") => HttpResponse::NoContent().finish(),
            _ => problem(404, "unknown"),
        }
    }
}

async fn depot(depot: Depot) -> (Connection, Shared) {
    let shared = Arc::new(Mutex::new(depot));
    let kept = shared.clone();
    let connection = serve(move |routes| {
        let kept = kept.clone();
        routes.app_data(web::PayloadConfig::new(64 * 1024 * 1024)).default_service(web::to(
            move |request: HttpRequest, mut payload: web::Payload| {
                let kept = kept.clone();
                async move {
                    let is_file = request.method() == "PUT" && request.path().contains("/files/");
                    if is_file && kept.lock().unwrap().cuts > 0 {
                        kept.lock().unwrap().cuts -= 1;
                        futures_util::StreamExt::next(&mut payload).await;
                        return Err(LineCut.into());
                    }
                    let body = payload.to_bytes().await?;
                    let mut depot = kept.lock().unwrap();
                    Ok::<_, actix_web::Error>(depot.answer(
                        request.method().as_str(),
                        request.path(),
                        &body,
                    ))
                }
            },
        ));
    })
    .await;
    (connection, shared)
}

/// As a proxy says it whose server went away.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct LineCut;

impl actix_web::ResponseError for LineCut {
    fn status_code(&self) -> actix_web::http::StatusCode {
        actix_web::http::StatusCode::BAD_GATEWAY
    }
}

fn args(line: &[&str]) -> Args {
    let command = Args::augment_args(clap::Command::new("push"));
    let matches = command
        .try_get_matches_from([&["push"], line].concat())
        .unwrap_or_else(|error| panic!("{error}"));
    <Args as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
}

/// A file larger than what is read ahead.
fn disk(folder: &tempfile::TempDir, name: &str) -> (String, Vec<u8>) {
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|number| (number % 253) as u8).collect();
    let path = folder.path().join(name);
    fs::write(&path, &bytes).unwrap();
    (path.to_str().unwrap().to_owned(), bytes)
}

#[tokio::test]
async fn a_push_makes_the_image_sends_seals_and_promotes() {
    let (connection, depot) = depot(Depot::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = disk(&folder, "disk.vhdx");
    let args = args(&["disk", &path, "--channel", "test", "--notes", "first"]);
    let pushed = push(&connection, &args, Progress::hidden()).await.unwrap();

    assert_eq!((pushed.revision, pushed.epoch), (7, Some(4)));
    assert_eq!(pushed.files[0].digest, Digest::of(&bytes));
    let depot = depot.lock().unwrap();
    assert_eq!(depot.image, Some(json!({ "name": "disk", "kind": "single", "extension": "vhdx" })));
    assert_eq!(
        depot.asked,
        [
            "GET /disk",
            "POST ",
            "GET /disk",
            "POST /disk/revisions",
            "PATCH /disk/revisions/7",
            "PUT /disk/revisions/7/files/image",
            "GET /disk/revisions/7",
            "POST /disk/revisions/7/seal",
            "PUT /disk/channels/test",
        ]
    );
}

#[tokio::test]
async fn a_broken_upload_is_sent_again_whole() {
    let (connection, depot) = depot(Depot { cuts: 2, ..Depot::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = disk(&folder, "disk.vhdx");
    push(&connection, &args(&["disk", &path]), Progress::hidden()).await.unwrap();
    let stored = &depot.lock().unwrap().files;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["digest"], Digest::of(&bytes).to_string());
}

#[tokio::test]
async fn bytes_that_arrive_changed_are_never_sealed_and_the_draft_goes() {
    let (connection, depot) = depot(Depot { corrupt: true, ..Depot::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = disk(&folder, "disk.vhdx");
    let failure = push(&connection, &args(&["disk", &path]), Progress::hidden()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Verification, "{failure}");
    let asked = &depot.lock().unwrap().asked;
    assert_eq!(asked.last().unwrap(), "DELETE /disk/revisions/7");
    assert!(!asked.iter().any(|request| request.ends_with("/seal")));
}

#[tokio::test]
async fn files_that_do_not_fit_the_image_open_no_draft() {
    let image = json!({ "name": "disk", "kind": "medv", "extension": null });
    let (connection, depot) = depot(Depot { image: Some(image), ..Depot::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = disk(&folder, "disk.vhdx");

    let failure = push(&connection, &args(&["disk", &path]), Progress::hidden()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
    let other_kind = args(&["disk", &path, "--kind", "single"]);
    let failure = push(&connection, &other_kind, Progress::hidden()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Conflict, "{failure}");
    assert_eq!(depot.lock().unwrap().asked, ["GET /disk", "GET /disk"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_before_anything_is_made() {
    let (connection, depot) = depot(Depot::default()).await;
    let failure =
        push(&connection, &args(&["disk", "/no/such.vhdx"]), Progress::hidden()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Storage, "{failure}");
    assert!(depot.lock().unwrap().asked.is_empty());
}

#[test]
fn the_help_lists_the_exit_codes_and_the_variables() {
    let help = Args::augment_args(clap::Command::new("push")).render_long_help().to_string();
    assert!(help.contains(EXIT_CODES), "{help}");
    for variable in ["IMAGEDEPOT_URL", "IMAGEDEPOT_PASSWORD_FILE", "IMAGEDEPOT_TOKEN"] {
        assert!(help.contains(variable), "{help}");
    }
    assert!(!help.contains('`'), "Markdown in the help: {help}");
}
