//! Fetches a target with tough, the other client of The Update Framework: tough-fetch ROOT STATE URL TARGET FILE
//!
//! ROOT is the trusted root, STATE a folder that keeps what was seen, URL the tree. Writes the target into FILE and prints
//! its length, or tough's sentence. Whatever failed while the depot signed is tried again for two seconds.
//!
//! tough asks for targets by names with the digest in front, so its transport takes that off (docs/trust.md).

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::stream;
use reqwest::StatusCode;
use tough::{
    IntoVec as _, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind,
    TransportStream,
};
use url::Url;

/// The length of a SHA-256 in hexadecimal digits.
const DIGITS: usize = 64;

const PATIENCE: Duration = Duration::from_secs(2);

/// Fetches metadata and targets over HTTP, targets by their plain names.
#[derive(Debug, Clone)]
struct PlainNames {
    client: reqwest::Client,
    tree: String,
}

impl PlainNames {
    fn plain(&self, url: &Url) -> String {
        let path = url.as_str().strip_prefix(&self.tree).and_then(|path| {
            let (digest, path) = path.split_at_checked(DIGITS)?;
            digest.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(path)
        });
        let name = path.and_then(|path| path.strip_prefix('.'));
        name.map_or_else(|| url.to_string(), |name| format!("{}{name}", self.tree))
    }
}

#[async_trait::async_trait]
impl Transport for PlainNames {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let broken = |cause: reqwest::Error| {
            TransportError::new_with_cause(TransportErrorKind::Other, url.as_str(), cause)
        };
        let answer = self.client.get(self.plain(&url)).send().await.map_err(broken)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(TransportError::new(TransportErrorKind::FileNotFound, url.as_str()));
        }
        let answer = answer.error_for_status().map_err(broken)?;
        let bytes = answer.bytes().await.map_err(broken)?;
        Ok(Box::pin(stream::iter([Ok(bytes)])))
    }
}

async fn fetch(
    root: &[u8],
    seen: &Path,
    tree: &str,
    target: &str,
) -> Result<Option<Vec<u8>>, tough::error::Error> {
    let url = |path: &str| Url::parse(&format!("{tree}/{path}")).expect("a URL");
    let transport = PlainNames { client: reqwest::Client::new(), tree: format!("{tree}/") };
    let loader = RepositoryLoader::new(&root, url("tuf/"), url(""));
    let repository = loader.transport(transport).datastore(seen).load().await?;
    match repository.read_target(&TargetName::new(target)?).await? {
        Some(bytes) => bytes.into_vec().await.map(Some),
        None => Ok(None),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, seen, tree, target, file] = arguments.as_slice() else {
        eprintln!("usage: tough-fetch ROOT STATE URL TARGET FILE");
        return ExitCode::from(2);
    };
    let root = std::fs::read(root).expect("the root");
    std::fs::create_dir_all(seen).expect("a folder");
    let begun = Instant::now();
    loop {
        match fetch(&root, Path::new(seen), tree, target).await {
            Ok(None) => println!("not listed"),
            Ok(Some(bytes)) => {
                std::fs::write(file, &bytes).expect("write the target");
                println!("fetched {}", bytes.len());
            }
            Err(_) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            Err(error) => {
                println!("{error}");
                return ExitCode::FAILURE;
            }
        }
        return ExitCode::SUCCESS;
    }
}
