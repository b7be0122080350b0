//! A file as the body of an answer: read piece by piece, as fast as the client takes it, also while it arrives.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::body::Body;
use super::flight::{Progress, readable};

/// The bytes that are read at once, and so in memory for each client.
const PIECE: u64 = 128 << 10;

/// A file that may still be arriving.
#[derive(Debug)]
pub struct Reading<G> {
    pub file: Arc<File>,
    pub size: u64,
    /// The fetch, and the beginning that is read from; none for a file that is whole.
    pub arriving: Option<(watch::Receiver<Progress>, u32)>,
    /// Kept while the file is read.
    pub guard: G,
}

impl<G: Send + 'static> Reading<G> {
    /// Returns the bytes of a range. The connection is cut if they turn out to be wrong, or do not come.
    pub fn body(self, range: Range<u64>) -> Body {
        let pieces = async_stream::stream! {
            let Self { file, size, mut arriving, guard } = self;
            let (mut at, mut end) = (range.start, range.end);
            if arriving.is_some() {
                end = at;
            }
            while at < range.end {
                if at == end && let Some((watched, beginning)) = &mut arriving {
                    let known = readable(watched, size, at, *beginning).await;
                    let Some(known) = known else {
                        yield Err(io::Error::other("the file does not arrive"));
                        break;
                    };
                    end = known.min(range.end);
                }
                let piece = read(&file, at, (end - at).min(PIECE)).await;
                // What was read may have been overwritten meanwhile.
                let is_other = arriving.as_ref().is_some_and(|(watched, beginning)| {
                    watched.borrow().beginning != *beginning
                });
                match piece {
                    Ok(_) if is_other => {
                        yield Err(io::Error::other("the file begins anew"));
                        break;
                    }
                    Ok(piece) => {
                        at += piece.len() as u64;
                        yield Ok(piece);
                    }
                    Err(error) => {
                        yield Err(error);
                        break;
                    }
                }
            }
            drop(guard);
        };
        StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
    }
}

/// Reads exactly so many bytes.
async fn read(file: &Arc<File>, at: u64, count: u64) -> io::Result<Bytes> {
    let file = Arc::clone(file);
    let read = spawn_blocking(move || {
        let mut piece = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        file.read_exact_at(&mut piece, at)?;
        Ok(Bytes::from(piece))
    });
    read.await.map_err(io::Error::other)?
}
