//! Tests of pulls from a server that cuts connections, sends wrong digests and changes its files.

use std::fs;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::super::exit_code::Exit;
use super::super::test_server::{cut_after, problem, serve};
use super::*;
use crate::model::Digest;

/// The `Range` and `If-Range` of each request for the file.
type Asked = Arc<Mutex<Vec<(Option<String>, Option<String>)>>>;

/// The question of every machine.
const OF_PRODUCTION: update_check::Asked<'static> =
    update_check::Asked { image: "win7", channel: "production", client: None, group: None };

const ETAG: &str = "\"the bytes\"";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|number| (number % 251) as u8).collect()
}

/// Serves a channel that offers one file, and the file itself through `answer`. Its arguments are the number of the try
/// (from 0) and the start of the requested rest, if that is of the same bytes.
async fn depot(
    digest: Digest,
    answer: impl Fn(usize, Option<usize>) -> HttpResponse + Clone + Send + 'static,
) -> (Connection, Asked) {
    let asked = Asked::default();
    let kept = asked.clone();
    let connection = serve(move |routes| {
        let (kept, answer) = (kept.clone(), answer.clone());
        let check = json!({
            "action": "update", "reason": "first_install", "image": "win7", "channel": "production",
            "target": { "revision": 12, "files": [{
                "role": "image", "url": "/MEDVImages/win7_12.vhdx", "size": content().len(),
                "digest": digest.to_string(),
            }]},
        });
        routes
            .route(
                "/api/v1/update-check",
                web::get().to(move || {
                    let check = check.clone();
                    async move { HttpResponse::Ok().json(check) }
                }),
            )
            .route(
                "/MEDVImages/win7_12.vhdx",
                web::get().to(move |request: HttpRequest| {
                    let header =
                        |name| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
                    let (range, condition) = (header("Range"), header("If-Range"));
                    let from =
                        range.as_deref().filter(|_| condition.as_deref() == Some(ETAG)).and_then(
                            |range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
                        );
                    let mut asked = kept.lock().unwrap();
                    let answer = answer(asked.len(), from);
                    asked.push((range, condition));
                    async move { answer }
                }),
            );
    })
    .await;
    (connection, asked)
}

fn whole() -> HttpResponse {
    HttpResponse::Ok().insert_header(("ETag", ETAG)).body(content())
}

fn rest(from: usize) -> HttpResponse {
    let size = content().len();
    HttpResponse::PartialContent()
        .insert_header(("ETag", ETAG))
        .insert_header(("Content-Range", format!("bytes {from}-{}/{size}", size - 1)))
        .body(content()[from..].to_vec())
}

async fn pull_into(connection: &Connection, folder: &Path) -> Result<Fetched, Failure> {
    let plan = update_check::offered(connection, OF_PRODUCTION).await?;
    let pulled = pull(connection, &plan, place(folder, &plan), &Progress::hidden()).await;
    pulled.map(|pulled| pulled.sum)
}

/// A folder without named seeds.
fn place<'a>(folder: &'a Path, plan: &FetchPlan) -> Place<'a> {
    let (revision, existing) = (plan.revision, ExistingFiles::TrustNote);
    Place { folder, revision, other_folders: &[], named_seeds: &[], existing }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_broke() {
    let (connection, asked) =
        depot(Digest::of(&content()), |attempt, from| match (attempt, from) {
            (0, _) => {
                let mut answer = HttpResponse::Ok();
                answer.insert_header(("ETag", ETAG));
                cut_after(answer, &content(), 100_000)
            }
            (_, Some(from)) => rest(from),
            (_, None) => whole(),
        })
        .await;
    let folder = tempfile::tempdir().unwrap();
    let sum = pull_into(&connection, folder.path()).await.unwrap();

    assert_eq!(fs::read(folder.path().join("win7_12.vhdx")).unwrap(), content());
    assert_eq!(names_in(folder.path()), ["win7_12.vhdx"]);
    assert_eq!(sum, Fetched { fetched: content().len() as u64, reused: 0 });
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1], (Some("bytes=100000-".to_owned()), Some(ETAG.to_owned())));
}

#[tokio::test]
async fn a_later_pull_takes_up_what_an_earlier_one_left() {
    let (connection, asked) =
        depot(Digest::of(&content()), |_, from| from.map_or_else(whole, rest)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial"), &content()[..200_000]).unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial.etag"), ETAG).unwrap();
    let sum = pull_into(&connection, folder.path()).await.unwrap();

    assert_eq!(sum, Fetched { fetched: 100_000, reused: 200_000 });
    assert_eq!(fs::read(folder.path().join("win7_12.vhdx")).unwrap(), content());
    assert_eq!(names_in(folder.path()), ["win7_12.vhdx"]);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_part_of_other_bytes_is_thrown_away() {
    let (connection, _) =
        depot(Digest::of(&content()), |_, from| from.map_or_else(whole, rest)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial"), vec![9; 200_000]).unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial.etag"), "\"other bytes\"").unwrap();
    let sum = pull_into(&connection, folder.path()).await.unwrap();

    assert_eq!(sum, Fetched { fetched: content().len() as u64, reused: 0 });
    assert_eq!(fs::read(folder.path().join("win7_12.vhdx")).unwrap(), content());
}

#[tokio::test]
async fn a_part_that_was_damaged_on_this_disk_is_fetched_anew() {
    let (connection, asked) =
        depot(Digest::of(&content()), |_, from| from.map_or_else(whole, rest)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial"), vec![0; 200_000]).unwrap();
    fs::write(folder.path().join("win7_12.vhdx.partial.etag"), ETAG).unwrap();
    let sum = pull_into(&connection, folder.path()).await.unwrap();

    assert_eq!(fs::read(folder.path().join("win7_12.vhdx")).unwrap(), content());
    assert_eq!(sum.reused, 0);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_there_and_right_is_not_fetched() {
    let (connection, asked) = depot(Digest::of(&content()), |_, _| whole()).await;
    let folder = tempfile::tempdir().unwrap();
    pull_into(&connection, folder.path()).await.unwrap();
    let again = pull_into(&connection, folder.path()).await.unwrap();

    assert_eq!(again, Fetched { fetched: 0, reused: content().len() as u64 });
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn wrong_bytes_leave_nothing_behind() {
    let (connection, _) = depot(Digest::of(b"what was promised"), |_, _| whole()).await;
    let folder = tempfile::tempdir().unwrap();
    let failure = pull_into(&connection, folder.path()).await.unwrap_err();

    assert_eq!(failure.exit(), Exit::Verification, "{failure}");
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[tokio::test]
async fn wrong_bytes_do_not_take_the_place_of_what_was_there() {
    let (connection, _) = depot(Digest::of(b"what was promised"), |_, _| whole()).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("win7_12.vhdx"), "kept").unwrap();
    pull_into(&connection, folder.path()).await.unwrap_err();
    assert_eq!(fs::read(folder.path().join("win7_12.vhdx")).unwrap(), b"kept");
}

#[tokio::test]
async fn a_server_too_busy_for_downloads_is_waited_for() {
    let (connection, asked) = depot(Digest::of(&content()), |attempt, _| match attempt {
        0 => HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "0")).finish(),
        _ => whole(),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    pull_into(&connection, folder.path()).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_continue_is_not_asked_for_ever() {
    // Without an `ETag`, each try starts from the beginning and breaks at the same place.
    let (connection, asked) =
        depot(Digest::of(&content()), |_, _| cut_after(HttpResponse::Ok(), &content(), 50_000))
            .await;
    let folder = tempfile::tempdir().unwrap();
    let failure = pull_into(&connection, folder.path()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unreachable, "{failure}");
    assert!(asked.lock().unwrap().len() <= 6);
}

#[tokio::test]
async fn a_second_pull_into_the_same_folder_keeps_off() {
    let (connection, _) = depot(Digest::of(&content()), |_, _| whole()).await;
    let folder = tempfile::tempdir().unwrap();
    let first = fs::File::create(folder.path().join("win7_12.vhdx.partial")).unwrap();
    first.lock().unwrap();
    let failure = pull_into(&connection, folder.path()).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Conflict, "{failure}");
}

#[tokio::test]
async fn a_channel_without_assignment_is_told_as_not_found() {
    let connection = serve(|routes| {
        routes.route(
            "/api/v1/update-check",
            web::get().to(|| async {
                HttpResponse::Ok().json(json!({
                    "action": "none", "reason": "nothing_assigned", "image": "win7",
                    "channel": "production", "target": null,
                }))
            }),
        );
    })
    .await;
    let failure = update_check::offered(&connection, OF_PRODUCTION).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::NotFound);
    assert_eq!(
        failure.to_string(),
        "no revision of win7 is assigned to the channel production yet"
    );
}

#[tokio::test]
async fn a_revision_by_number_comes_from_the_api_with_the_index_last() {
    let connection = serve(|routes| {
        let file = |role: &str, bytes: &[u8]| {
            json!({ "role": role, "size": bytes.len(), "digest": Digest::of(bytes).to_string() })
        };
        let revision = json!({
            "number": 3, "state": "ready", "files": [file("index", b"index"), file("ckm", b"ckm")],
        });
        routes
            .route(
                "/api/v1/images/Win7",
                web::get().to(|| async {
                    HttpResponse::Ok().json(json!({ "name": "win7", "kind": "medv", "extension": null }))
                }),
            )
            .route(
                "/api/v1/images/win7/revisions/3",
                web::get().to(move || {
                    let revision = revision.clone();
                    async move { HttpResponse::Ok().json(revision) }
                }),
            )
            .route(
                "/api/v1/images/win7/revisions/3/files/{role}",
                web::get().to(|role: web::Path<String>| async { role.into_inner() }),
            )
            .default_service(web::to(|| async { problem(404, "unknown_image") }));
    })
    .await;
    let plan = revision_choice::by_number(&connection, "Win7", 3).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sum =
        pull(&connection, &plan, place(folder.path(), &plan), &Progress::hidden()).await.unwrap();
    assert_eq!(names_in(folder.path()), ["win7_3.ckm", "win7_3.ckm.index"]);

    let document = document(&plan, folder.path(), &sum, 1.5);
    assert_eq!(document["image"], "win7");
    assert_eq!(document["revision"], 3);
    assert_eq!(document["path"], json!(folder.path().join("win7_3.ckm")));
    assert_eq!(
        (&document["bytes_total"], &document["bytes_fetched"], &document["bytes_reused"]),
        (&json!(8), &json!(8), &json!(0))
    );
    assert_eq!(document["seconds"], 1.5);

    let absent = revision_choice::by_number(&connection, "winXP", 3).await.unwrap_err();
    assert_eq!(absent.exit(), Exit::NotFound);
}

#[test]
fn a_revision_and_a_channel_exclude_each_other() {
    let parse = |line: &[&str]| {
        <Args as clap::Args>::augment_args(clap::Command::new("pull"))
            .try_get_matches_from([&["pull", "win7", "--to", "."], line].concat())
            .and_then(|matches| <Args as clap::FromArgMatches>::from_arg_matches(&matches))
    };
    assert_eq!(parse(&[]).unwrap().choice.channel, "production");
    assert_eq!(parse(&["--revision", "3"]).unwrap().choice.revision, Some(3));
    assert!(parse(&["--revision", "3", "--channel", "test"]).is_err());
    assert!(parse(&["--revision", "0"]).is_err());
}
