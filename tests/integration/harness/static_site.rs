//! A plain nginx over a folder: a mirror that knows nothing of the depot.

use std::path::{Path, PathBuf};
use std::process::Child;

use tempfile::TempDir;

use super::folder::files_below;
use super::server::free_port;
use super::{Depot, eventually, nginx};

/// A folder, and the nginx that serves it.
pub struct StaticSite {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl StaticSite {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// A site with more settings of its server, such as a proxy that changes one answer.
    pub async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("site")).expect("a folder");
        let port = free_port();
        let root = folder.path().join("site");
        let server = format!(
            "    server {{\n        listen 127.0.0.1:{port};\n        root {};\n{more}    }}",
            root.display()
        );
        let settings = nginx::settings(folder.path(), &server);
        std::fs::write(folder.path().join("settings"), settings).expect("its settings");
        let process = nginx::command(folder.path()).spawn().expect("start nginx");
        let site = Self { process, port, folder };
        eventually("nginx answers", || async { reqwest::get(site.url("")).await.ok() }).await;
        site
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Writes or replaces a file.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join("site").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        let _none = std::fs::remove_file(&path);
        std::fs::write(path, bytes).expect("write a file");
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join("site").join(path)).expect("a file of the site")
    }

    /// The names of the files in a folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        files_below(&self.folder.path().join("site").join(folder)).into_keys().collect()
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.folder.path().join("site").join(path))
            .expect("a file of the site");
    }

    /// The folder that is served.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// Copies the whole tree of a depot as it is now, and returns the address of the copy.
    pub async fn copy(&self, depot: &Depot, name: &str) -> String {
        for (path, bytes) in tree_of(depot).await {
            self.write(&format!("{name}/{path}"), &bytes);
        }
        self.url(name)
    }
}

/// The tree's files with their bytes. Like a mirror, it reads the mark of the newest state first.
async fn tree_of(depot: &Depot) -> Vec<(String, Vec<u8>)> {
    if let Some(bucket) = &depot.bucket {
        return bucket.whole_tree().await.into_iter().collect();
    }
    read_all(&depot.tree())
}

fn read_all(tree: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = files_below(tree).into_keys().collect();
    names.sort_by_key(|name| !name.ends_with("timestamp.json"));
    let read = |name: String| Some((name.clone(), std::fs::read(tree.join(name)).ok()?));
    names.into_iter().filter_map(read).collect()
}

impl Drop for StaticSite {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
