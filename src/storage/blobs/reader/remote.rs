//! Streaming an object from a store.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::time::timeout;

use super::piece::{BlobStream, Piece, too_short};

/// The length up to which a range is fetched whole, a few at a time and ahead of their turn. A longer range is a
/// request of its own, the body of which is passed on as it arrives.
const SMALL: u64 = 256 * 1024;

/// The number of small ranges that are fetched at once: enough to hide a store's latency, with at most 2 MiB in memory.
///
/// `ObjectStore::get_ranges` would do the same, but joins ranges less than 1 MiB apart into one fetch without a limit:
/// 500 scattered ranges could become half a gigabyte in memory.
const AHEAD: usize = 8;

/// The time limit until a store's first byte. The body has the client's own time limit between two reads.
const UNTIL_IT_ANSWERS: Duration = Duration::from_secs(15);

pub(super) fn stream(
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> BlobStream {
    let object = Arc::new(Object { store, path, size });
    stream::iter(pieces)
        .map(move |piece| fetch(Arc::clone(&object), piece))
        .buffered(AHEAD)
        .try_flatten()
        .boxed()
}

struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

async fn fetch(
    object: Arc<Object>,
    piece: Piece,
) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
    match piece {
        Piece::Literal(text) => Ok(stream::once(async { Ok(text) }).boxed()),
        Piece::Range(range) if range.is_empty() => Ok(stream::empty().boxed()),
        Piece::Range(range) if range.end - range.start <= SMALL => {
            let chunks: Vec<Bytes> = object.open(range).await?.try_collect().await?;
            Ok(stream::iter(chunks).map(Ok).boxed())
        }
        // Requested only when its turn comes: a request opened ahead would be idle, and the store would close it.
        Piece::Range(range) => {
            Ok(stream::once(async move { object.open(range).await }).try_flatten().boxed())
        }
    }
}

impl Object {
    async fn open(&self, range: Range<u64>) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let options =
            GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let answer = timeout(UNTIL_IT_ANSWERS, self.store.get_opts(&self.path, options)).await;
        let answer = answer.map_err(|_| no_answer())?.map_err(as_of_a_file)?;
        // A store silently cuts a range at the end of the object.
        if answer.meta.size != self.size || answer.range != range {
            return Err(too_short());
        }
        Ok(whole(answer.into_stream().map_err(io::Error::other).boxed(), range.end - range.start))
    }
}

/// Converts a store's error: `NotFound` concerns the object, anything else the way to it.
fn as_of_a_file(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        other => io::Error::other(other),
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the store does not answer")
}

/// Passes the chunks on, with an error if the body has fewer or more than `length` bytes.
fn whole(
    body: BoxStream<'static, io::Result<Bytes>>,
    length: u64,
) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold((body, length), |(mut body, missing)| async move {
        match body.try_next().await? {
            Some(chunk) => {
                let missing = missing.checked_sub(chunk.len() as u64).ok_or_else(too_short)?;
                Ok(Some((chunk, (body, missing))))
            }
            None if missing == 0 => Ok(None),
            None => Err(too_short()),
        }
    })
    .boxed()
}
