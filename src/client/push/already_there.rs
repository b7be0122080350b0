//! Finds out if the server has these files already: a job that runs every night must not make the whole fleet fetch the
//! same bytes again under a new number.
//!
//! The files are compared with the newest ready revision, so going back to older bytes is a new revision. Sizes are
//! compared first. Only if all of them agree, the files are read for their digests, which takes less time than sending
//! them.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::connection::Connection;
use super::super::exit_code::Exit;
use super::super::progress::Progress;
use super::draft::StoredFile;
use super::sent::Sent;
use super::source::Source;
use crate::client::error::Failure;
use crate::model::Digest;

/// The largest page that the API allows. Revisions further back are not compared.
const NEWEST: &str = "500";

#[derive(Deserialize)]
struct Page {
    items: Vec<Revision>,
}

/// The fields of a revision that the client reads.
#[derive(Deserialize)]
struct Revision {
    number: u64,
    state: String,
    #[serde(default)]
    files: Vec<StoredFile>,
}

/// The ready revision that has the files.
pub struct Found {
    pub revision: u64,
    pub files: Vec<Sent>,
}

/// Finds the ready revision that has the files.
///
/// # Errors
///
/// Fails with `Conflict` if a revoked revision has the same bytes: they were found to be bad.
pub async fn find(
    connection: &Connection,
    image: &str,
    sources: &[Source],
    progress: &Progress,
) -> Result<Option<Found>, Failure> {
    let mut address = connection.api(&["images", image, "revisions"])?;
    address.query_pairs_mut().append_pair("limit", NEWEST);
    let page: Page = match connection.get(address).await {
        Ok(page) => page,
        // A caller who may not read revisions just sends the files.
        Err(failure) if matches!(failure.exit(), Exit::Refused | Exit::NotFound) => {
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let is_alike = |revision: &Revision| {
        revision.files.len() == sources.len()
            && sources.iter().all(|source| revision.file(source).is_some())
    };
    let newest =
        page.items.iter().find(|revision| revision.state == "ready").filter(|it| is_alike(it));
    let revoked =
        page.items.iter().filter(|revision| revision.state == "revoked" && is_alike(revision));
    let candidates: Vec<_> = newest.into_iter().chain(revoked).collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    let digests = digests(sources, progress).await?;
    let has_all = |revision: &&&Revision| {
        sources.iter().zip(&digests).all(|(source, digest)| {
            revision.file(source).is_some_and(|file| file.digest == digest.to_string())
        })
    };
    let Some(found) = candidates.iter().find(has_all) else { return Ok(None) };
    if found.state == "revoked" {
        let message = format!(
            "the files are those of revision {} of {image}, which was revoked; use --always to push them anyway",
            found.number
        );
        return Err(Failure::new(Exit::Conflict, message));
    }
    let sent = |(source, digest): (&Source, Digest)| Sent {
        role: source.role,
        size: source.size(),
        digest,
        bytes_sent: 0,
    };
    let files = sources.iter().zip(digests).map(sent).collect();
    Ok(Some(Found { revision: found.number, files }))
}

impl Revision {
    /// Returns the stored file of the same role and size.
    fn file(&self, source: &Source) -> Option<&StoredFile> {
        self.files.iter().find(|file| file.role == source.role && file.size == source.size())
    }
}

async fn digests(sources: &[Source], progress: &Progress) -> Result<Vec<Digest>, Failure> {
    let mut digests = Vec::new();
    for source in sources {
        let bar = progress.file(&source.name(), source.size());
        bar.set_message("(comparing with what the server has)");
        let hasher = source.hash(Sha256::new(), 0..source.size()).await?;
        source.must_be_unchanged()?;
        digests.push(Digest::from_bytes(hasher.finalize().into()));
        bar.finish_and_clear();
    }
    Ok(digests)
}
