//! Bytes from one store to another, compared on the way, in memory one piece at a time.

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

/// Of one part: S3 takes 10,000 of them.
const PIECE: u64 = 16 * 1024 * 1024;
const MOST_PIECES: u64 = 9_000;

/// Writes all that a reader gives as one object, which appears whole and with this digest, or not at all. `Damaged` where
/// the bytes have another.
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
            // All parts but the last are of one size: some stores insist on it.
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
            // What cannot be taken away now, a lifecycle rule takes.
            let _aborted = upload.abort().await;
            Err(error)
        }
    }
}

/// The name that a file is to have which `object_store` writes in a folder: until it is whole it is `NAME#1`, or another
/// number. None for any other file. Who is killed leaves such a one.
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
