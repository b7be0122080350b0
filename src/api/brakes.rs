//! The brakes of the tree: how many downloads at once, in all and for one client.
//!
//! Past them 503 with `Retry-After`: BITS takes that for "later", where 403 or 429 would end its job.
//! The counts are this process's own: they protect this machine's line, and decide nothing else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Method;
use bytes::Bytes;

use super::problem::Problem;

/// When BITS is to come back, in seconds.
const RETRY_AFTER: u16 = 60;

/// How many at once; 0 is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub downloads: usize,
    pub downloads_per_client: usize,
}

/// Counts the downloads under way. Cheap to clone, shared by all workers.
#[derive(Clone, Default)]
pub struct Brakes {
    limits: Limits,
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl Brakes {
    pub fn new(limits: Limits) -> Self {
        Self { limits, under_way: Arc::default() }
    }

    /// A turn to download, kept until the body is sent. A HEAD costs nothing and needs none.
    pub fn admit(&self, request: &HttpRequest) -> Result<Option<Turn>, Problem> {
        if *request.method() == Method::HEAD {
            return Ok(None);
        }
        let client = request.peer_addr().map(|address| address.ip());
        self.take_turn(client).map(Some).ok_or_else(|| {
            let detail = "as many downloads as the server allows are under way; come back later";
            Problem::come_back("too_many_downloads", detail, RETRY_AFTER)
        })
    }

    fn take_turn(&self, client: Option<IpAddr>) -> Option<Turn> {
        let full = |count: usize, limit: usize| limit != 0 && count >= limit;
        let mut under_way = self.lock();
        if full(under_way.all, self.limits.downloads) {
            return None;
        }
        if let Some(client) = client {
            let count = under_way.by_client.entry(client).or_default();
            if full(*count, self.limits.downloads_per_client) {
                return None;
            }
            *count += 1;
        }
        under_way.all += 1;
        metrics::gauge!("imagedepot_downloads").increment(1);
        Some(Turn { brakes: self.clone(), client })
    }

    // The numbers are whole at every moment, whoever panicked while holding them.
    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A download that was admitted; over when dropped.
pub struct Turn {
    brakes: Brakes,
    client: Option<IpAddr>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut under_way = self.brakes.lock();
        under_way.all = under_way.all.saturating_sub(1);
        if let Some(client) = self.client
            && let Some(count) = under_way.by_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                under_way.by_client.remove(&client);
            }
        }
        metrics::gauge!("imagedepot_downloads").decrement(1);
    }
}

pin_project_lite::pin_project! {
    /// A body that keeps its turn until it is sent.
    pub struct Braked<B> {
        #[pin]
        body: B,
        turn: Option<Turn>,
    }
}

impl<B> Braked<B> {
    pub fn new(body: B, turn: Option<Turn>) -> Self {
        Self { body, turn }
    }
}

impl<B: MessageBody> MessageBody for Braked<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_free_again_when_its_download_ends() {
        let brakes = Brakes::new(Limits { downloads: 2, downloads_per_client: 1 });
        let (alice, bob, carol) =
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), [10, 0, 0, 3].into());
        let first = brakes.take_turn(Some(alice));
        assert!(first.is_some());
        assert!(brakes.take_turn(Some(alice)).is_none(), "one for each client");
        let second = brakes.take_turn(Some(bob));
        assert!(second.is_some());
        assert!(brakes.take_turn(Some(carol)).is_none(), "two in all");
        drop(first);
        assert!(brakes.take_turn(Some(carol)).is_some());
    }
}
