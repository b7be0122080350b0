//! Copies of bytes from one store to another, checked on the way, with one piece at a time in memory.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{
    Attributes, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutPayloadMut,
};

use super::blobs::{BlobReader, RunningHash};
use super::error::{StorageError, away, is_about_the_file};
use crate::model::Digest;

/// The size of a part in bytes. Larger objects get larger parts, because S3 accepts at most 10,000.
const PIECE: u64 = 16 * 1024 * 1024;
const MOST_PIECES: u64 = 9_000;

/// Writes everything that a reader returns as one object, which appears whole and with this digest, or not at all.
/// Returns `Damaged` if the bytes have another digest.
pub(super) async fn copy(
    reader: &BlobReader,
    store: &Arc<dyn ObjectStore>,
    location: &Path,
    expected: &Digest,
    attributes: Attributes,
) -> Result<(), StorageError> {
    let size = reader.size();
    let piece = PIECE.max(size.div_ceil(MOST_PIECES));
    if size <= piece {
        let (bytes, digest) = read_all(reader).await?;
        check(&digest, expected)?;
        let options = PutOptions { attributes, ..PutOptions::default() };
        store.put_opts(location, bytes, options).await?;
        return Ok(());
    }
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let mut upload = store.put_multipart_opts(location, options).await?;
    let sent = async {
        let (mut hash, mut stream) = (RunningHash::default(), reader.stream(0..size));
        let mut part = PutPayloadMut::new();
        while let Some(bytes) = stream.next().await {
            let mut bytes: Bytes = bytes.map_err(|error| unreadable(&error))?;
            hash.update(&bytes);
            // All parts but the last have the same size, because some stores insist on it.
            while part.content_length() as u64 + bytes.len() as u64 >= piece {
                let missing = usize::try_from(piece).unwrap_or(usize::MAX) - part.content_length();
                part.push(bytes.split_to(missing));
                let whole = std::mem::take(&mut part);
                upload.put_part(whole.freeze()).await?;
            }
            if !bytes.is_empty() {
                part.push(bytes);
            }
        }
        if !part.is_empty() {
            upload.put_part(part.freeze()).await?;
        }
        check(&hash.finish(), expected)
    };
    match sent.await {
        Ok(()) => upload.complete().await.map(drop).map_err(Into::into),
        Err(error) => {
            // If it cannot be aborted now, a lifecycle rule of the bucket removes it.
            let _aborted = upload.abort().await;
            Err(error)
        }
    }
}

/// Returns the final name of a file that `object_store` is writing in a folder: until it is complete, it is called
/// `NAME#1`, or has another number. Returns none for any other file. A writer that is killed leaves such a file.
pub(super) fn staged_for(name: &str) -> Option<&str> {
    let (whole, number) = name.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(whole)
}

async fn read_all(reader: &BlobReader) -> Result<(PutPayload, Digest), StorageError> {
    let (mut hash, mut payload) = (RunningHash::default(), PutPayloadMut::new());
    let mut stream = reader.stream(0..reader.size());
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        hash.update(&bytes);
        payload.push(bytes);
    }
    Ok((payload.freeze(), hash.finish()))
}

fn check(found: &Digest, expected: &Digest) -> Result<(), StorageError> {
    if found == expected {
        return Ok(());
    }
    Err(StorageError::Damaged(format!("the bytes have the digest {found}, not {expected}")))
}

fn unreadable(error: &std::io::Error) -> StorageError {
    if is_about_the_file(error) {
        return StorageError::Damaged(error.to_string());
    }
    away(error.to_string())
}
