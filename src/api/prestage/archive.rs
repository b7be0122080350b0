//! A kit as a tar archive that never exists as a whole.
//!
//! Its headers and documents are a few kilobytes in memory, its files stay where they are stored. Joined, they have a
//! known length and the same bytes each time, so that ranges can be served. A zip archive would need the CRC-32 of each
//! file, which is unknown until the file was read: a download that broke off could not continue.

use std::io::{self, Read as _};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::api::conventions::file_response::ContentIdentity;
use crate::api::conventions::problem::Problem;
use crate::api::depot::Depot;
use crate::catalog::Error;
use crate::catalog::revision::RevisionDetails;
use crate::model::Digest;
use crate::prestage::{Content, Kit, KitFile};
use crate::storage::blobs::BlobReader;

/// The size of a tar block in bytes. Files begin at multiples of it.
const BLOCK: u64 = 512;

pub(super) struct Archive {
    pub(super) reader: BlobReader,
    pub(super) identity: ContentIdentity,
}

/// The parts that have been put together so far.
struct Parts {
    /// The headers, documents and padding since the last file.
    made: Builder<Vec<u8>>,
    parts: Vec<BlobReader>,
    identity: Sha256,
    /// The modification time of all entries, in seconds since 1970.
    modified: u64,
}

pub(super) async fn of(
    depot: &Depot,
    details: &RevisionDetails,
    kit: &Kit,
) -> Result<Archive, Problem> {
    let sealed = details.revision.sealed_at.unwrap_or(details.revision.updated_at);
    let mut parts = Parts {
        made: Builder::new(Vec::new()),
        parts: Vec::new(),
        identity: Sha256::new(),
        modified: u64::try_from(sealed.timestamp()).unwrap_or(0),
    };
    for content in kit.contents() {
        match content {
            Content::Folder(path) => parts.folder(&path),
            Content::Document { path, bytes } => parts.document(path, &bytes),
            Content::File(file) => {
                let reader = reader_of(depot, details, file).await?;
                parts.file(file, reader)
            }
        }
        .map_err(|error| cannot_be_made(&error))?;
    }
    parts.end().map_err(|error| cannot_be_made(&error))
}

/// Opens a file of the kit. It is found by its digest, because files with equal digests have equal bytes.
async fn reader_of(
    depot: &Depot,
    details: &RevisionDetails,
    wanted: &KitFile,
) -> Result<BlobReader, Problem> {
    let file = details.files.iter().find(|file| file.digest == wanted.digest());
    let file = file.ok_or_else(Problem::not_found)?;
    let reader = depot.catalog.blobs().reader(&file.blob_key, file.size).await;
    Ok(reader.map_err(Error::from)?)
}

impl Parts {
    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.modified);
        header
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        self.made.append_data(&mut header, format!("{path}/"), io::empty())
    }

    fn document(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, 0o444, bytes.len() as u64);
        self.made.append_data(&mut header, path, bytes)
    }

    fn file(&mut self, file: &KitFile, reader: BlobReader) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, 0o444, file.size());
        // Writes only the header. The bytes are read when they are sent.
        self.made.append_data(&mut header, file.path(), io::empty())?;
        self.take_made();
        self.identity.update(file.digest().as_bytes());
        self.parts.push(reader);
        let padding = file.size().next_multiple_of(BLOCK) - file.size();
        io::repeat(0).take(padding).read_to_end(self.made.get_mut())?;
        Ok(())
    }

    fn take_made(&mut self) {
        let made = Bytes::from(std::mem::take(self.made.get_mut()));
        self.identity.update(&made);
        self.parts.push(BlobReader::bytes(made));
    }

    fn end(mut self) -> io::Result<Archive> {
        self.made.finish()?;
        self.take_made();
        let identity = Digest::from_bytes(self.identity.finalize().into());
        Ok(Archive {
            reader: BlobReader::joined(self.parts),
            identity: ContentIdentity::Ingredients(identity),
        })
    }
}

/// Reports a failure to write a header in memory, which only a defect in this module can cause.
fn cannot_be_made(error: &io::Error) -> Problem {
    tracing::error!(%error, "an archive could not be put together");
    Problem::internal()
}
