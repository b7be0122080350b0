//! Tests of the copy: what is fetched, what is kept, and what is not believed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actix_web::{HttpRequest, HttpResponse, web};

use super::*;
use crate::client::test_server::serve;
use crate::trust::test_depot::TestDepot;

/// A depot that is served, and the paths that were asked for.
struct Upstream {
    depot: TestDepot,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    url: String,
    folder: tempfile::TempDir,
}

impl Upstream {
    async fn start() -> Self {
        let files = Arc::new(Mutex::new(BTreeMap::<String, Vec<u8>>::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (served, noted) = (Arc::clone(&files), Arc::clone(&asked));
        let connection = serve(move |routes| {
            let (served, noted) = (Arc::clone(&served), Arc::clone(&noted));
            routes.default_service(web::to(move |request: HttpRequest| {
                let path = request.path().trim_start_matches("/tree/").to_owned();
                let found = served.lock().unwrap().get(&path).cloned();
                noted.lock().unwrap().push(path);
                async move {
                    found.map_or_else(
                        || HttpResponse::NotFound().finish(),
                        |bytes| HttpResponse::Ok().body(bytes),
                    )
                }
            }));
        })
        .await;
        let url = format!("{}/tree", connection.server());
        let folder = tempfile::tempdir().unwrap();
        let mut upstream = Self { depot: TestDepot::at(now()), files, asked, url, folder };
        upstream.publish("channel.json", b"{}");
        upstream.publish("win7_1.ckm", b"bytes");
        std::fs::write(upstream.root(), &upstream.depot.files["1.root.json"]).unwrap();
        upstream
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("trusted.json")
    }

    /// Offers a file, and signs it.
    fn publish(&mut self, path: &str, bytes: &[u8]) {
        self.depot.offer(path, bytes);
        self.depot.sign();
        let mut files = self.files.lock().unwrap();
        files.insert(path.to_owned(), bytes.to_vec());
        let signed = self.depot.files.iter();
        files.extend(signed.map(|(name, bytes)| (format!("tuf/{name}"), bytes.clone())));
    }

    fn copy(&self) -> MetadataCopy {
        let args = ServerArgs { server: Some(self.url.clone()), ..ServerArgs::default() };
        let place = |name: &str| self.folder.path().join(name);
        let (served, incoming) = (place("served"), place("incoming"));
        let mut copy =
            MetadataCopy::open(&args, &self.url, &self.root(), &served, &incoming).unwrap();
        copy.state = place("state");
        copy
    }

    /// The paths that were asked for since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn documents(path: &str, _: &Target) -> Option<Need> {
    path.ends_with("channel.json").then_some(Need::Must)
}

fn bins(asked: &[String]) -> usize {
    asked.iter().filter(|path| path.contains(".bin-")).count()
}

#[tokio::test]
async fn what_did_not_change_is_not_fetched_again() {
    let mut upstream = Upstream::start().await;
    let copy = upstream.copy();
    let first = copy.look(None, documents).await.unwrap().unwrap();
    assert_eq!(first.documents()["channel.json"], b"{}");
    assert_eq!(bins(&upstream.asked()), 256);
    assert!(copy.look(Some(&first), documents).await.unwrap().is_none());
    assert_eq!(upstream.asked(), ["tuf/2.root.json", "tuf/timestamp.json"]);

    upstream.publish("win7_2.ckm", b"more bytes");
    // Another process, which has the folder alone.
    let copy = upstream.copy();
    let second = copy.look(None, documents).await.unwrap().unwrap();
    assert!(second.target("win7_2.ckm").is_some() && first.target("win7_2.ckm").is_none());
    let asked = upstream.asked();
    assert_eq!(bins(&asked), 1, "{asked:?}");
    assert!(!asked.contains(&"channel.json".to_owned()), "{asked:?}");
    assert_eq!(second.targets().count(), 3);
}

#[tokio::test]
async fn the_folder_is_enough_while_nobody_can_be_asked() {
    let upstream = Upstream::start().await;
    let copy = upstream.copy();
    let picture = copy.look(None, documents).await.unwrap().unwrap();
    assert_eq!(copy.load(documents).await.unwrap_err().exit(), Exit::NotFound, "not served yet");
    let served = upstream.folder.path().join("served");
    for file in picture.files() {
        let bytes = copy.read(&path_of(*file), largest(*file)).unwrap();
        write_durably(&served.join(path_of(*file)), &bytes).unwrap();
    }
    write_durably(&served.join("tuf/timestamp.json"), picture.timestamp()).unwrap();
    upstream.asked();
    let loaded = copy.load(documents).await.unwrap();
    assert_eq!(loaded.files(), picture.files());
    assert!(loaded.target("win7_1.ckm").is_some() && loaded.is_fresh());
    assert_eq!(upstream.asked(), [""; 0]);
}

#[tokio::test]
async fn a_damaged_file_is_fetched_again_and_a_forged_one_is_refused() {
    let mut upstream = Upstream::start().await;
    let copy = upstream.copy();
    let first = copy.look(None, documents).await.unwrap().unwrap();
    let bin = *first.files().iter().find(|file| path_of(**file).contains("bin-07")).unwrap();
    std::fs::write(copy.fetched(&path_of(bin)), "damaged").unwrap();
    upstream.asked();
    copy.look(None, documents).await.unwrap().unwrap();
    assert_eq!(bins(&upstream.asked()), 1);

    upstream.publish("win7_2.ckm", b"more bytes");
    let snapshot = upstream.depot.files.keys().rfind(|name| name.contains("snapshot")).unwrap();
    let forged = br#"{"signatures":[],"signed":{}}"#.to_vec();
    upstream.files.lock().unwrap().insert(format!("tuf/{snapshot}"), forged);
    let refused = copy.look(Some(&first), documents).await.unwrap_err();
    assert_eq!(refused.exit(), Exit::Verification, "{refused}");
}

#[tokio::test]
async fn all_roots_that_were_followed_belong_to_the_copy() {
    let mut upstream = Upstream::start().await;
    let copy = upstream.copy();
    let first = copy.look(None, documents).await.unwrap().unwrap();
    upstream.depot.rotate(RoleName::Timestamp);
    upstream.publish("win7_2.ckm", b"more bytes");
    let second = copy.look(Some(&first), documents).await.unwrap().unwrap();
    let roots = |picture: &Picture| {
        let names = picture.files().iter().map(ToString::to_string);
        names.filter(|name| name.ends_with(".root.json")).collect::<Vec<_>>()
    };
    assert_eq!(roots(&first), ["1.root.json"]);
    assert_eq!(roots(&second), ["1.root.json", "2.root.json"]);
}

#[tokio::test]
async fn a_document_that_the_tree_lacks_is_missed_only_by_those_who_need_it() {
    let upstream = Upstream::start().await;
    let copy = upstream.copy();
    upstream.files.lock().unwrap().remove("channel.json");
    let failed = copy.look(None, documents).await.unwrap_err();
    assert_eq!(failed.exit(), Exit::NotFound);
    let if_there = |path: &str, target: &Target| documents(path, target).map(|_| Need::IfThere);
    let picture = copy.look(None, if_there).await.unwrap().unwrap();
    assert!(picture.documents().is_empty() && picture.target("channel.json").is_some());
}
