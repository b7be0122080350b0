//! The download limits of the tree: how many downloads at once, and how many bytes a second, in total and for one
//! client.
//!
//! Requests beyond them get a 503 with `Retry-After`. BITS then tries again later, whereas a 403 or 429 would end its
//! job. The counts belong to this process: they protect this machine's network connection, and decide nothing else.

mod pace;

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Method;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::Sleep;

use super::client_address;
use super::problem::{Code, Problem};
use crate::model::metric;
use pace::SendPace;

/// The backlog beyond which a connection is full: another download would only slow down the others.
const FULL: Duration = Duration::from_secs(5);

/// The settings of the same names; 0 means no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub downloads: usize,
    pub downloads_per_client: usize,
    /// The limit of all downloads together, in bytes a second.
    pub bandwidth: u64,
    pub bandwidth_per_client: u64,
}

/// The counter of current downloads, which enforces the limits. It is cheap to clone and shared by all workers.
#[derive(Clone, Default)]
pub struct DownloadLimits {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    force: ArcSwap<LimitsInForce>,
    in_progress: Mutex<DownloadsInProgress>,
}

/// The limits that are in force now.
#[derive(Default)]
struct LimitsInForce {
    limits: Limits,
    pace: Option<Arc<SendPace>>,
}

impl LimitsInForce {
    fn of(limits: Limits) -> Self {
        Self { limits, pace: SendPace::new(limits.bandwidth, Instant::now()).map(Arc::new) }
    }
}

#[derive(Default)]
struct DownloadsInProgress {
    all: usize,
    by_client: HashMap<IpAddr, Client>,
}

/// A client that is downloading.
struct Client {
    downloads: usize,
    pace: Option<Arc<SendPace>>,
}

impl DownloadLimits {
    pub fn new(limits: Limits) -> Self {
        let download_limits = Self::default();
        download_limits.change(limits);
        download_limits
    }

    /// Changes the limits, for downloads that begin from now on.
    pub fn change(&self, limits: Limits) {
        self.inner.force.store(Arc::new(LimitsInForce::of(limits)));
    }

    /// Returns a permit to download, which is kept until the body is sent. A HEAD costs nothing and needs none.
    pub fn admit(&self, request: &HttpRequest) -> Result<Option<DownloadPermit>, Problem> {
        if *request.method() == Method::HEAD {
            return Ok(None);
        }
        self.try_admit(client_address::of(request), Instant::now()).map(Some).ok_or_else(|| {
            let detail = "the server's download limit is reached; try again later";
            Problem::new(Code::TooManyDownloads, detail)
        })
    }

    fn try_admit(&self, address: IpAddr, now: Instant) -> Option<DownloadPermit> {
        let full = |count: usize, limit: usize| limit != 0 && count >= limit;
        let crowded = |pace: &Option<Arc<SendPace>>| {
            pace.as_ref().is_some_and(|pace| pace.backlog(now) > FULL)
        };
        let force = self.inner.force.load();
        let LimitsInForce { limits, pace } = &**force;
        let mut in_progress = self.lock();
        if full(in_progress.all, limits.downloads) || crowded(pace) {
            return None;
        }
        let mut paces: Vec<Arc<SendPace>> = pace.iter().cloned().collect();
        let client = in_progress.by_client.entry(address).or_insert_with(|| Client {
            downloads: 0,
            pace: SendPace::new(limits.bandwidth_per_client, now).map(Arc::new),
        });
        if full(client.downloads, limits.downloads_per_client) || crowded(&client.pace) {
            return None;
        }
        client.downloads += 1;
        paces.extend(client.pace.clone());
        in_progress.all += 1;
        metric::DOWNLOADS.increment();
        Some(DownloadPermit { download_limits: self.clone(), address, paces })
    }

    // The counts are consistent at every moment, even if a thread panicked while it held the lock.
    fn lock(&self) -> MutexGuard<'_, DownloadsInProgress> {
        self.inner.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A download that was admitted. It ends when it is dropped.
pub struct DownloadPermit {
    download_limits: DownloadLimits,
    address: IpAddr,
    paces: Vec<Arc<SendPace>>,
}

impl DownloadPermit {
    /// Returns the time to wait before the first bytes may be sent.
    fn backlog(&self) -> Duration {
        let now = Instant::now();
        self.paces.iter().map(|pace| pace.backlog(now)).max().unwrap_or_default()
    }

    /// Counts sent bytes, and returns the time to wait before more may be sent.
    fn sent(&self, bytes: usize) -> Duration {
        if self.paces.is_empty() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        self.paces.iter().map(|pace| pace.take(bytes as u64, now)).max().unwrap_or_default()
    }
}

impl Drop for DownloadPermit {
    fn drop(&mut self) {
        let mut in_progress = self.download_limits.lock();
        in_progress.all = in_progress.all.saturating_sub(1);
        if let Some(client) = in_progress.by_client.get_mut(&self.address) {
            client.downloads = client.downloads.saturating_sub(1);
            if client.downloads == 0 {
                in_progress.by_client.remove(&self.address);
            }
        }
        metric::DOWNLOADS.decrement();
    }
}

pin_project_lite::pin_project! {
    /// A body that keeps its permit, and its pace, until it is sent.
    pub struct LimitedBody<B> {
        #[pin]
        body: B,
        permit: Option<DownloadPermit>,
        pause: Option<Pin<Box<Sleep>>>,
    }
}

impl<B> LimitedBody<B> {
    pub fn new(body: B, permit: Option<DownloadPermit>) -> Self {
        // Waits behind the earlier downloads. Otherwise many small files would be sent without any pace.
        let wait = permit.as_ref().map(DownloadPermit::backlog).filter(|wait| !wait.is_zero());
        Self { body, permit, pause: wait.map(|wait| Box::pin(tokio::time::sleep(wait))) }
    }
}

impl<B: MessageBody> MessageBody for LimitedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        if let Some(pause) = this.pause {
            ready!(pause.as_mut().poll(cx));
            *this.pause = None;
        }
        let chunk = ready!(this.body.poll_next(cx));
        if let (Some(Ok(bytes)), Some(permit)) = (&chunk, this.permit) {
            let wait = permit.sent(bytes.len());
            if !wait.is_zero() {
                *this.pause = Some(Box::pin(tokio::time::sleep(wait)));
            }
        }
        Poll::Ready(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const CAROL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

    #[test]
    fn a_permit_is_free_again_when_its_download_ends() {
        let limits = Limits { downloads: 2, downloads_per_client: 1, ..Limits::default() };
        let (download_limits, now) = (DownloadLimits::new(limits), Instant::now());
        let first = download_limits.try_admit(ALICE, now);
        assert!(first.is_some());
        assert!(download_limits.try_admit(ALICE, now).is_none(), "one for each client");
        let second = download_limits.try_admit(BOB, now);
        assert!(second.is_some());
        assert!(download_limits.try_admit(CAROL, now).is_none(), "two in all");
        drop(first);
        assert!(download_limits.try_admit(CAROL, now).is_some());
    }

    #[test]
    fn a_full_line_takes_no_more_downloads_until_it_is_free() {
        let download_limits = DownloadLimits::new(Limits { bandwidth: 1_000, ..Limits::default() });
        let now = Instant::now();
        let permit = download_limits.try_admit(ALICE, now).unwrap();
        assert!(!permit.sent(10_000).is_zero());
        assert!(download_limits.try_admit(BOB, now).is_none());
        assert!(download_limits.try_admit(BOB, now + Duration::from_secs(8)).is_some());
    }

    #[test]
    fn one_client_at_its_pace_leaves_the_line_to_others() {
        let download_limits =
            DownloadLimits::new(Limits { bandwidth_per_client: 1_000, ..Limits::default() });
        let now = Instant::now();
        let permit = download_limits.try_admit(ALICE, now).unwrap();
        permit.sent(10_000);
        assert!(download_limits.try_admit(ALICE, now).is_none());
        assert!(download_limits.try_admit(BOB, now).is_some());
    }
}
