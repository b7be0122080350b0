//! A client that resumes: it streams a file, and after whatever breaks asks for the offset and goes on.
//!
//! Written from the protocols' texts, and as plain as can be. The well-known clients have tests of their own (`tus_clients`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{Answer, Person};

/// The protocols that append with PATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patching {
    /// tus 1.0.0.
    Tus,
    /// Resumable Uploads for HTTP, the draft of the IETF.
    Resumable,
}

/// Bytes read and sent at once.
const PIECE: usize = 64 * 1024;

/// An upload under way.
#[derive(Clone)]
pub struct ResumingUpload {
    person: Person,
    protocol: Patching,
    location: String,
    file: PathBuf,
    size: u64,
    position: Arc<AtomicU64>,
}

impl ResumingUpload {
    /// Makes the session for a file of a draft.
    pub async fn begin(
        person: &Person,
        protocol: Patching,
        (image, revision, role): (&str, u64, &str),
        file: &Path,
    ) -> Self {
        let size = std::fs::metadata(file).expect("the file").len();
        let answer = match protocol {
            Patching::Tus => {
                let pairs = [("image", image), ("revision", &revision.to_string()), ("role", role)];
                let metadata: Vec<_> =
                    pairs.iter().map(|(key, value)| format!("{key} {}", base64(value))).collect();
                person
                    .post("/api/v1/uploads")
                    .header("Tus-Resumable", "1.0.0")
                    .header("Upload-Length", &size.to_string())
                    .header("Upload-Metadata", &metadata.join(","))
                    .await
            }
            Patching::Resumable => {
                let target =
                    json!({"image": image, "revision": revision, "role": role, "size": size});
                person.post("/api/v1/uploads").json(&target).await
            }
        };
        let location = answer.expecting(201).required_header("location").to_owned();
        Self {
            person: person.clone(),
            protocol,
            location,
            file: file.to_owned(),
            size,
            position: Arc::default(),
        }
    }

    /// Returns how far the file has been sent.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Sends until the server says that the file is complete. Each resumption begins at the offset that
    /// the server tells, which never goes back.
    pub async fn to_the_end(&self) {
        let mut known = 0;
        loop {
            let Some((offset, complete)) = self.ask().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            assert!(offset >= known, "{offset} bytes where {known} were acknowledged");
            known = offset;
            if complete {
                return;
            }
            if let Ok(answer) = self.append(offset).await
                && answer.status != 409
            {
                assert_eq!(answer.status / 100, 2, "{}: {}", answer.question, answer.text());
                return;
            }
        }
    }

    /// The offset and whether the file is complete; none while the server is away.
    pub async fn ask(&self) -> Option<(u64, bool)> {
        let mut question = self.person.call(&Method::HEAD, &self.location);
        if self.protocol == Patching::Tus {
            question = question.header("Tus-Resumable", "1.0.0");
        }
        let answer = question.try_send().await.ok()?;
        assert!([200, 204].contains(&answer.status), "{}", answer.status);
        let offset = answer.required_header("upload-offset").parse().expect("an offset");
        let complete = match self.protocol {
            Patching::Tus => offset == self.size,
            Patching::Resumable => answer.required_header("upload-complete") == "?1",
        };
        Some((offset, complete))
    }

    /// Sends everything from `offset` on in one request.
    async fn append(&self, offset: u64) -> Result<Answer, reqwest::Error> {
        let append = self.person.patch(&self.location).header("Upload-Offset", &offset.to_string());
        let append = match self.protocol {
            Patching::Tus => append
                .header("Tus-Resumable", "1.0.0")
                .header("Content-Type", "application/offset+octet-stream"),
            Patching::Resumable => append
                .header("Upload-Complete", "?1")
                .header("Content-Type", "application/partial-upload"),
        };
        let length = (self.size - offset).to_string();
        append.header("Content-Length", &length).body(self.body(offset)).try_send().await
    }

    fn body(&self, offset: u64) -> Body {
        let Self { file, position, .. } = self.clone();
        position.store(offset, Ordering::Relaxed);
        let pieces = async_stream::stream! {
            let mut file = tokio::fs::File::open(file).await.expect("open the file");
            file.seek(std::io::SeekFrom::Start(offset)).await.expect("seek");
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                (&mut file).take(PIECE as u64).read_to_end(&mut piece).await.expect("read");
                if piece.is_empty() {
                    break;
                }
                position.fetch_add(piece.len() as u64, Ordering::Relaxed);
                yield Ok::<_, std::io::Error>(Bytes::from(piece));
            }
        };
        Body::wrap_stream(pieces)
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
