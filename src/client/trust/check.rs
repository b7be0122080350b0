//! `imagedepot verify URL --trust ROOT`: checks a whole tree, its metadata and every byte of its files.

use std::fmt;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::tree::SignedTree;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::output::Output;
use crate::client::progress::Progress;
use crate::model::Digest;
use crate::trust::Target;

/// A file that is not what was signed.
#[derive(Debug, Serialize)]
struct Finding {
    finding: &'static str,
    path: String,
    detail: String,
}

/// The result of a check.
#[derive(Debug, Default, Serialize)]
struct Report {
    files: usize,
    bytes: u64,
    /// Files that are signed and not there. A static copy lacks the files that a rollout or a pin offers.
    absent: usize,
    findings: Vec<Finding>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { finding, path, detail } in &self.findings {
            writeln!(f, "{finding:<10} {path}: {detail}")?;
        }
        let bytes = indicatif::BinaryBytes(self.bytes);
        write!(
            f,
            "{} files, {bytes}, are as they were signed; {} more are signed and not there",
            self.files, self.absent
        )
    }
}

/// Checks a tree and prints the findings. Fails with `Verification` if there are any.
pub async fn run(
    server: &ServerArgs,
    address: &str,
    root: &Path,
    output: Output,
) -> Result<(), Failure> {
    let report = match look(server, address, root, output).await {
        Ok(report) => report,
        Err(failure) => return output.unless_failed(Err(failure)),
    };
    let sound = report.findings.is_empty();
    let document = json!({"url": address, "sound": sound, "files": report.files,
        "bytes": report.bytes, "absent": report.absent, "findings": report.findings});
    output.result(&report.to_string(), &document)?;
    if sound {
        return Ok(());
    }
    let message =
        format!("{address} differs from what was signed: {} findings", report.findings.len());
    Err(Failure::new(Exit::Verification, message))
}

async fn look(
    server: &ServerArgs,
    address: &str,
    root: &Path,
    output: Output,
) -> Result<Report, Failure> {
    let mut tree = SignedTree::open(server, address, root).await?;
    let (mut report, progress) = (Report::default(), Progress::for_output(output));
    for (path, target) in tree.all().await? {
        let bar = progress.file(&path, target.length);
        // A document changes beside its metadata; the walk knows how to read both of one moment.
        let found = if path.ends_with("channel.json") {
            read_document(&mut tree, &path).await?
        } else {
            read_file(&tree, &path, &target).await?
        };
        bar.finish_and_clear();
        match found {
            Found::Right(size) => {
                report.files += 1;
                report.bytes += size;
            }
            Found::Absent => report.absent += 1,
            Found::Changed(detail) => {
                report.findings.push(Finding { finding: "changed", path, detail });
            }
        }
    }
    Ok(report)
}

/// The state of a file.
enum Found {
    Right(u64),
    Absent,
    Changed(String),
}

async fn read_document(tree: &mut SignedTree, path: &str) -> Result<Found, Failure> {
    match tree.document(path).await {
        Ok(Some(bytes)) => Ok(Found::Right(bytes.len() as u64)),
        Ok(None) => Ok(Found::Absent),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(Found::Absent),
        Err(failure) if failure.exit() == Exit::Verification => {
            Ok(Found::Changed(failure.to_string()))
        }
        Err(failure) => Err(failure),
    }
}

async fn read_file(tree: &SignedTree, path: &str, target: &Target) -> Result<Found, Failure> {
    let connection = tree.connection();
    let stalled = || {
        let message = format!("{} sent nothing for too long", connection.server());
        Failure::new(Exit::Unreachable, message)
    };
    let line = |error: reqwest::Error| Failure::line(connection.server(), &error);
    let request = connection.request(Method::GET, tree.url(path)?);
    let mut response =
        timeout(connection.stall, request.send()).await.map_err(|_| stalled())?.map_err(line)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Found::Absent),
        _ => return Err(Failure::answered(response).await.while_doing(path)),
    }
    let (mut hasher, mut size) = (Sha256::new(), 0);
    loop {
        let piece = timeout(connection.stall, response.chunk()).await.map_err(|_| stalled())?;
        let Some(piece) = piece.map_err(line)? else { break };
        size += piece.len() as u64;
        if size > target.length {
            return Ok(Found::Changed(format!("it is larger than {} bytes", target.length)));
        }
        hasher.update(&piece);
    }
    let digest = Digest::from_bytes(hasher.finalize().into());
    if size == target.length && target.digest() == Some(digest) {
        Ok(Found::Right(size))
    } else {
        Ok(Found::Changed(format!("it has {size} bytes with the digest {digest}")))
    }
}
