//! A TLS handshake within limits. `refusal` has the reasons for a failure, and `certificate_lifetime` checks the
//! client's certificate for as long as the connection lasts.

mod certificate_lifetime;
mod refusal;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(super) use self::certificate_lifetime::CertificateStanding;
use super::per_address::PerAddress;
use super::tls::{State, Tls};
use crate::catalog::Catalog;
use crate::model::Clock;
pub(super) use refusal::begin_at_zero;
use refusal::{Refusal, refusal_by, refusal_of, tell};

/// The time limit for a handshake, enough for some round trips over the worst of connections.
const TIME: Duration = Duration::from_secs(10);

/// The most handshakes in progress at once, in each worker for each listener. One that waits for its client costs
/// memory, not processor time.
const AT_ONCE: usize = 2048;

/// The most handshakes in progress at once from one address, so that a caller who opens connections and sends nothing
/// takes no others' place. Many clients behind one address still get far more than this number done in a second,
/// because each takes only a few round trips.
const AT_ONCE_FROM_ONE: usize = 256;

/// The time that a refused client has to receive the refusal; `UNREAD_PIECES` limits what is read from it meanwhile.
const PARTING_TIME: Duration = Duration::from_secs(1);
const UNREAD_PIECES: usize = 64;

/// The handshakes in progress in this worker on this listener.
#[derive(Default)]
pub(super) struct HandshakesInProgress(RefCell<PerAddress>);

impl HandshakesInProgress {
    fn enter(self: &Rc<Self>, client: IpAddr) -> Option<Entered> {
        let mut handshakes = self.0.borrow_mut();
        if handshakes.in_all() >= AT_ONCE || handshakes.of(client) >= AT_ONCE_FROM_ONE {
            return None;
        }
        handshakes.add(client);
        Some(Entered { handshakes: Rc::clone(self), client })
    }
}

struct Entered {
    handshakes: Rc<HandshakesInProgress>,
    client: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.handshakes.0.borrow_mut().remove(self.client);
    }
}

/// Does the handshake and returns the connection with the TLS state that it was made with. Refusals are logged, counted
/// and recorded here.
pub(super) async fn take(
    io: TcpStream,
    client: SocketAddr,
    tls: &Tls,
    handshakes: &Rc<HandshakesInProgress>,
    catalog: &Catalog,
) -> Result<(TlsStream<TcpStream>, Arc<State>), RefusedConnection> {
    let state = tls.current();
    let taken = match handshakes.enter(client.ip()) {
        Some(_entered) => match timeout(TIME, shake_hands(io, &state, catalog.clock())).await {
            Ok(taken) => taken,
            Err(_) => Err(Refusal::TooSlow.into()),
        },
        None => Err(Refusal::TooMany.into()),
    };
    let stream = taken.map_err(|Refused { refusal, cause, plain }| {
        tell(refusal, client, cause.as_ref(), catalog);
        RefusedConnection { error: io::Error::other(refusal.text()), plain }
    })?;
    Ok((stream, state))
}

/// A connection that was refused.
pub(super) struct RefusedConnection {
    pub(super) error: io::Error,
    /// The connection, if it speaks HTTP without TLS and so understands an answer.
    pub(super) plain: Option<TcpStream>,
}

struct Refused {
    refusal: Refusal,
    cause: Option<io::Error>,
    plain: Option<TcpStream>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, cause: None, plain: None }
    }
}

async fn shake_hands(
    io: TcpStream,
    state: &State,
    clock: &Clock,
) -> Result<TlsStream<TcpStream>, Refused> {
    if speaks_http(&io).await {
        return Err(Refused { plain: Some(io), ..Refusal::PlainHttp.into() });
    }
    let accepted = TlsAcceptor::from(state.server.clone()).accept(io).into_fallible().await;
    let stream = match accepted {
        Ok(stream) => stream,
        Err((cause, io)) => {
            let refusal = refusal_of(&cause);
            if refusal.concerns_certificate() {
                part(io).await;
            }
            return Err(Refused { cause: Some(cause), ..refusal.into() });
        }
    };
    verify_again(&stream, state, clock)?;
    Ok(stream)
}

/// Reports whether the client speaks HTTP without TLS: a method begins with a letter, a TLS handshake with the record
/// type 22 (RFC 8446 section 5.1).
async fn speaks_http(io: &TcpStream) -> bool {
    let mut first = [0];
    // If this read fails, so does the handshake.
    io.peek(&mut first).await.is_ok_and(|read| read == 1 && first[0].is_ascii_uppercase())
}

/// Closes the connection once the client has closed it, or after a short time. With TLS 1.3 the client's request may
/// arrive before the refusal is sent, and closing a socket that has unread data would discard the alert.
pub(super) async fn part(mut io: TcpStream) {
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

/// Verifies the certificate of a resumed session. The session carries the certificate of its original handshake, and
/// TLS does not check it again: the certificate or its revocation list may have expired since. Checking the two
/// signatures of the chain still costs less than a whole handshake.
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
            let refusal = refusal_by(&error);
            Err(Refused { cause: Some(io::Error::other(error)), ..refusal.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_the_places_of_all() {
        let handshakes = Rc::new(HandshakesInProgress::default());
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        let held: Vec<_> =
            (0..AT_ONCE_FROM_ONE).map_while(|_| handshakes.enter(of("192.0.2.1"))).collect();
        assert_eq!(held.len(), AT_ONCE_FROM_ONE);
        assert!(handshakes.enter(of("192.0.2.1")).is_none());
        assert!(handshakes.enter(of("::ffff:192.0.2.1")).is_none());
        assert!(handshakes.enter(of("192.0.2.2")).is_some());
        drop(held);
        assert!(handshakes.enter(of("192.0.2.1")).is_some());
        assert!(handshakes.0.borrow().is_empty(), "what ended is forgotten");
    }
}
