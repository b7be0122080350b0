//! Follows the files: checks every two seconds whether they changed, and reads them again then or on SIGHUP.
//!
//! A check costs a few system calls and works on every file system, including mounted secrets that are swapped by a
//! symbolic link. Kernel notifications would have to be set up for each link of the path.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::files::Stamp;
use super::{State, Tls};
use crate::model::{Clock, metric};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Follows the files of all listeners, without end.
pub(in crate::server) async fn keep_up(listeners: Vec<Arc<Tls>>, clock: Clock) {
    let mut asked = match signal(SignalKind::hangup()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP");
            return;
        }
    };
    let mut followed: Vec<_> = listeners.into_iter().map(Followed::new).collect();
    for one in &followed {
        one.tls.tell(&clock, true);
    }
    loop {
        let told = tokio::select! {
            told = asked.recv() => told.is_some(),
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        if told {
            tracing::info!("SIGHUP: certificates, keys and revocation lists are being reloaded");
        }
        for one in &mut followed {
            one.look(told, &clock).await;
        }
    }
}

struct Followed {
    tls: Arc<Tls>,
    /// The state of the last attempt, whether it succeeded or not, so that a broken file is reported only once.
    tried: Stamp,
    /// The state at the previous check.
    seen: Stamp,
}

impl Followed {
    fn new(tls: Arc<Tls>) -> Self {
        let stamp = tls.current().stamp.clone();
        Self { tls, tried: stamp.clone(), seen: stamp }
    }

    /// Reads the files if they differ from those last tried and have not changed between two checks, because a
    /// certificate and its key are not written at the same moment. If `told` is set, they are read in any case.
    async fn look(&mut self, told: bool, clock: &Clock) {
        let tls = Arc::clone(&self.tls);
        let Ok(stamp) = tokio::task::spawn_blocking(move || Stamp::of(&tls.listener)).await else {
            return;
        };
        let settled = stamp == self.seen;
        self.seen = stamp.clone();
        if !told && (!settled || stamp == self.tried) {
            return;
        }
        self.tried = stamp;
        let tls = Arc::clone(&self.tls);
        // Parsing a large revocation list takes time.
        let read = tokio::task::spawn_blocking(move || State::of(&tls.listener)).await;
        let (address, error) = match read {
            Ok(Ok(Some(state))) => {
                self.tls.current.store(Arc::new(state));
                tracing::info!(listener = %self.tls.address, "the new TLS files are in force");
                return self.tls.tell(clock, true);
            }
            Ok(Ok(None)) => return,
            Ok(Err(error)) => (self.tls.address, error.to_string()),
            Err(error) => (self.tls.address, error.to_string()),
        };
        tracing::error!(listener = %address, "the new TLS files were not applied, the old ones remain in force: {error}");
        self.tls.tell(clock, false);
    }
}

impl Tls {
    /// Updates the metrics, and logs what needs attention.
    fn tell(&self, clock: &Clock, taken: bool) {
        let listener = self.address.to_string();
        let of = |gauge: &metric::Gauge<1>| gauge.with([listener.clone()]);
        of(&metric::TLS_RELOAD_SUCCESS).set(if taken { 1.0 } else { 0.0 });
        if !taken {
            return;
        }
        let (state, now) = (self.current(), clock.now().timestamp());
        of(&metric::TLS_RELOAD_SUCCESS_AT).set(seconds(now));
        of(&metric::TLS_CERTIFICATE_EXPIRY).set(seconds(state.certificate_ends));
        if state.certificate_ends <= now {
            tracing::warn!(listener, "the server's certificate has expired");
        }
        if let Some(ends) = state.lists_end {
            of(&metric::TLS_CRL_NEXT_UPDATE).set(seconds(ends));
            if ends <= now {
                tracing::warn!(
                    listener,
                    "a revocation list is past its next update: clients of its authority are refused"
                );
            }
        }
    }
}

/// Converts seconds to a gauge's floating-point number, which is exact for 285 million years.
fn seconds(since_the_epoch: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times of certificates are far below 2^53")]
    let seconds = since_the_epoch as f64;
    seconds
}
