//! A TLS handshake with its limits, and why it failed: the client is told no more than an alert, the log and the
//! counter by reason tell those who run the server.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::{State, Tls};
use crate::model::Clock;

/// How long a handshake may take: some round trips over the worst of lines.
const TIME: Duration = Duration::from_secs(10);

/// Handshakes under way at once, for each worker: what waits for its client costs memory, not processor time.
const AT_ONCE: usize = 2048;

/// The same from one address: one that opens connections and says nothing takes no others' place. Many behind one
/// address are still many more than this in a second, each for a few round trips.
const AT_ONCE_FROM_ONE: usize = 256;

/// How long a client that is refused may take to hear so, and how much of what it sends is read meanwhile.
const PARTING_TIME: Duration = Duration::from_secs(1);
const UNREAD_PIECES: usize = 64;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoCertificate,
    Revoked,
    Expired,
    NotYetValid,
    UnknownAuthority,
    /// Not made for clients.
    WrongPurpose,
    /// An authority of the chain has no revocation list here.
    RevocationUnknown,
    RevocationListExpired,
    /// A certificate that is unfit in another way.
    UnfitCertificate,
    TooSlow,
    TooMany,
    /// No TLS, none in common, or the client hung up.
    Failed,
}

impl Refusal {
    /// The label of the counter.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongPurpose => "wrong_purpose",
            Self::RevocationUnknown => "revocation_unknown",
            Self::RevocationListExpired => "revocation_list_expired",
            Self::UnfitCertificate => "unfit_certificate",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
            Self::Failed => "failed",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NoCertificate => "the client sent no certificate",
            Self::Revoked => "the client's certificate is revoked",
            Self::Expired => "the client's certificate has expired",
            Self::NotYetValid => "the client's certificate is not valid yet",
            Self::UnknownAuthority => "the client's certificate is of an unknown authority",
            Self::WrongPurpose => "the client's certificate is not for clients",
            Self::RevocationUnknown => {
                "an authority of the client's certificate has no revocation list here"
            }
            Self::RevocationListExpired => {
                "the revocation list of the client's authority is past its next update"
            }
            Self::UnfitCertificate => "the client's certificate is unfit",
            Self::TooSlow => "the handshake took too long",
            Self::TooMany => "too many handshakes at once",
            Self::Failed => "the handshake failed",
        }
    }

    fn concerns_certificate(self) -> bool {
        !matches!(self, Self::TooSlow | Self::TooMany | Self::Failed)
    }
}

/// Handshakes under way in this worker on this listener.
#[derive(Default)]
pub(super) struct UnderWay(RefCell<(usize, HashMap<IpAddr, usize>)>);

impl UnderWay {
    fn enter(self: &Rc<Self>, client: IpAddr) -> Option<Entered> {
        let client = subscriber(client);
        let (all, by_address) = &mut *self.0.borrow_mut();
        let from_one = by_address.get(&client).copied().unwrap_or(0);
        if *all >= AT_ONCE || from_one >= AT_ONCE_FROM_ONE {
            return None;
        }
        *all += 1;
        by_address.insert(client, from_one + 1);
        Some(Entered { under_way: Rc::clone(self), client })
    }
}

/// With IPv6 one subscriber has a whole network of 64 bits to choose addresses from.
fn subscriber(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

struct Entered {
    under_way: Rc<UnderWay>,
    client: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let (all, by_address) = &mut *self.under_way.0.borrow_mut();
        *all = all.saturating_sub(1);
        if let Some(from_one) = by_address.get_mut(&self.client) {
            *from_one -= 1;
            if *from_one == 0 {
                by_address.remove(&self.client);
            }
        }
    }
}

/// Takes a connection by TLS; hands out what it was taken with, too. What is refused is logged and counted here.
pub(super) async fn take(
    io: TcpStream,
    client: SocketAddr,
    tls: &Tls,
    under_way: &Rc<UnderWay>,
    clock: &Clock,
) -> io::Result<(TlsStream<TcpStream>, Arc<State>)> {
    let state = tls.current();
    let taken = match under_way.enter(client.ip()) {
        Some(_entered) => match timeout(TIME, shake_hands(io, &state, clock)).await {
            Ok(taken) => taken,
            Err(_) => Err(Refusal::TooSlow.into()),
        },
        None => Err(Refusal::TooMany.into()),
    };
    let stream = taken.map_err(|Refused { refusal, cause }| {
        tell(refusal, client, cause.as_ref());
        io::Error::other(refusal.text())
    })?;
    Ok((stream, state))
}

struct Refused {
    refusal: Refusal,
    cause: Option<io::Error>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, cause: None }
    }
}

async fn shake_hands(
    io: TcpStream,
    state: &State,
    clock: &Clock,
) -> Result<TlsStream<TcpStream>, Refused> {
    let accepted = TlsAcceptor::from(state.server.clone()).accept(io).into_fallible().await;
    let stream = match accepted {
        Ok(stream) => stream,
        Err((cause, io)) => {
            let refusal = refusal_of(&cause);
            if refusal.concerns_certificate() {
                part(io).await;
            }
            return Err(Refused { refusal, cause: Some(cause) });
        }
    };
    verify_again(&stream, state, clock)?;
    Ok(stream)
}

/// Closes only when the client has, or soon: with TLS 1.3 its request may be here before it is refused, and closing a
/// socket with something unread in it takes the alert back.
async fn part(mut io: TcpStream) {
    let reading_to_the_end = async {
        io.shutdown().await?;
        let mut unread = [0; 1024];
        for _ in 0..UNREAD_PIECES {
            if io.read(&mut unread).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _parted_in_any_case = timeout(PARTING_TIME, reading_to_the_end).await;
}

/// A resumed session brings the certificate of the handshake that it goes back to, and nobody looks at it again:
/// it may have expired since, or its list. Two signatures of the chain are still less than a whole handshake.
fn verify_again(
    stream: &TlsStream<TcpStream>,
    state: &State,
    clock: &Clock,
) -> Result<(), Refused> {
    let connection = stream.get_ref().1;
    if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
        return Ok(());
    }
    verify(connection.peer_certificates().unwrap_or_default(), state, clock)
}

fn verify(chain: &[CertificateDer<'_>], state: &State, clock: &Clock) -> Result<(), Refused> {
    let Some(verifier) = &state.clients else { return Ok(()) };
    let (leaf, rest) = chain.split_first().ok_or(Refusal::NoCertificate)?;
    let now = Duration::from_secs(u64::try_from(clock.now().timestamp()).unwrap_or_default());
    match verifier.verify_client_cert(leaf, rest, UnixTime::since_unix_epoch(now)) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Refused { refusal: refusal_by(&error), cause: Some(io::Error::other(error)) })
        }
    }
}

/// The right of a connection to go on: it may outlast what its client's certificate is good for.
pub(super) struct Standing {
    tls: Arc<Tls>,
    clock: Clock,
    client: SocketAddr,
    verified_with: Arc<State>,
    verified_at: Instant,
}

/// How long a certificate is taken for good while no file has changed.
const GOOD_FOR: Duration = Duration::from_mins(1);

impl Standing {
    /// None where no certificate is required.
    pub(super) fn of(
        tls: &Arc<Tls>,
        verified_with: Arc<State>,
        client: SocketAddr,
        clock: &Clock,
    ) -> Option<Self> {
        verified_with.clients.is_some().then(|| Self {
            tls: Arc::clone(tls),
            clock: clock.clone(),
            client,
            verified_with,
            verified_at: Instant::now(),
        })
    }

    /// Whether the certificate is still one that would be let in; looked at anew after a change of the files, and
    /// every minute.
    pub(super) fn still_good(&mut self, chain: &[CertificateDer<'_>]) -> bool {
        let now = Instant::now();
        let current = self.tls.current();
        if Arc::ptr_eq(&current, &self.verified_with)
            && now.duration_since(self.verified_at) < GOOD_FOR
        {
            return true;
        }
        match verify(chain, &current, &self.clock) {
            Ok(()) => {
                (self.verified_with, self.verified_at) = (current, now);
                true
            }
            Err(Refused { refusal, cause }) => {
                tell(refusal, self.client, cause.as_ref());
                false
            }
        }
    }
}

fn refusal_of(error: &io::Error) -> Refusal {
    let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    by_tls.map_or(Refusal::Failed, refusal_by)
}

fn refusal_by(error: &rustls::Error) -> Refusal {
    use rustls::Error;
    let Error::InvalidCertificate(error) = error else {
        return match error {
            Error::NoCertificatesPresented => Refusal::NoCertificate,
            Error::InvalidCertRevocationList(_) => Refusal::RevocationUnknown,
            _ => Refusal::Failed,
        };
    };
    match error {
        CertificateError::Revoked => Refusal::Revoked,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refusal::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Refusal::NotYetValid
        }
        // An authority of the right name with another key signs nothing that holds.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Refusal::UnknownAuthority
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Refusal::WrongPurpose
        }
        CertificateError::UnknownRevocationStatus => Refusal::RevocationUnknown,
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => Refusal::RevocationListExpired,
        _ => Refusal::UnfitCertificate,
    }
}

/// Certificates that are refused are worth a look; scanners and lines that break are not.
fn tell(refusal: Refusal, client: SocketAddr, cause: Option<&io::Error>) {
    let reason = refusal.name();
    metrics::counter!("imagedepot_tls_handshakes_refused_total", "reason" => reason).increment(1);
    let cause = cause.map(ToString::to_string);
    if refusal.concerns_certificate() {
        tracing::warn!(client.address = %client, reason, cause, "{}", refusal.text());
    } else {
        tracing::debug!(client.address = %client, reason, cause, "{}", refusal.text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_the_places_of_all() {
        let under_way = Rc::new(UnderWay::default());
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let held: Vec<_> =
            (0..AT_ONCE_FROM_ONE).map_while(|_| under_way.enter(of("192.0.2.1"))).collect();
        assert_eq!(held.len(), AT_ONCE_FROM_ONE);
        assert!(under_way.enter(of("192.0.2.1")).is_none());
        assert!(under_way.enter(of("::ffff:192.0.2.1")).is_none());
        assert!(under_way.enter(of("192.0.2.2")).is_some());
        drop(held);
        assert!(under_way.enter(of("192.0.2.1")).is_some());
        assert!(under_way.0.borrow().1.is_empty(), "what ended is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_subscriber() {
        let of = |text: &str| subscriber(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
