//! The reasons for a failed handshake. The client receives no more than an alert; the log and the counter by reason
//! inform those who run the server.

use std::io;
use std::net::SocketAddr;

use rustls::CertificateError;

use crate::catalog::Catalog;
use crate::catalog::audit::refused_logins::RefusedLogin;
use crate::model::address_range::subscriber;
use crate::model::metric;

/// The reason why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoCertificate,
    Revoked,
    Expired,
    NotYetValid,
    UnknownAuthority,
    /// The certificate is not meant for clients.
    WrongPurpose,
    /// An authority of the chain has no revocation list here.
    RevocationUnknown,
    RevocationListExpired,
    /// The certificate is of X.509 version 1.
    Version1,
    /// The certificate is unfit for another reason.
    UnfitCertificate,
    TooSlow,
    TooMany,
    /// The client spoke HTTP without TLS.
    PlainHttp,
    /// The client spoke no TLS, had no version or cipher in common with the server, or hung up.
    Failed,
}

impl Refusal {
    const ALL: [Self; 14] = [
        Self::NoCertificate,
        Self::Revoked,
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownAuthority,
        Self::WrongPurpose,
        Self::RevocationUnknown,
        Self::RevocationListExpired,
        Self::Version1,
        Self::UnfitCertificate,
        Self::TooSlow,
        Self::TooMany,
        Self::PlainHttp,
        Self::Failed,
    ];

    /// Returns the counter's label.
    fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongPurpose => "wrong_purpose",
            Self::RevocationUnknown => "revocation_unknown",
            Self::RevocationListExpired => "revocation_list_expired",
            Self::Version1 => "version_1",
            Self::UnfitCertificate => "unfit_certificate",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
            Self::PlainHttp => "plain_http",
            Self::Failed => "failed",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoCertificate => "the client sent no certificate",
            Self::Revoked => "the client's certificate is revoked",
            Self::Expired => "the client's certificate has expired",
            Self::NotYetValid => "the client's certificate is not valid yet",
            Self::UnknownAuthority => "the client's certificate was issued by an unknown authority",
            Self::WrongPurpose => "the client's certificate is not meant for clients",
            Self::RevocationUnknown => {
                "there is no revocation list for an authority of the client's certificate"
            }
            Self::RevocationListExpired => {
                "the revocation list of the client's authority is past its next update"
            }
            Self::Version1 => {
                "the client's certificate is of X.509 version 1; version 3 is required"
            }
            Self::UnfitCertificate => "the client's certificate is invalid",
            Self::TooSlow => "the handshake took too long",
            Self::TooMany => "too many handshakes at once",
            Self::PlainHttp => "the client spoke HTTP without TLS",
            Self::Failed => "the handshake failed",
        }
    }

    pub(super) fn concerns_certificate(self) -> bool {
        !matches!(self, Self::TooSlow | Self::TooMany | Self::PlainHttp | Self::Failed)
    }
}

pub(super) fn refusal_of(error: &io::Error) -> Refusal {
    let by_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    by_tls.map_or(Refusal::Failed, refusal_by)
}

pub(super) fn refusal_by(error: &rustls::Error) -> Refusal {
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
        // An authority with the right name and another key is not one of ours.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Refusal::UnknownAuthority
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Refusal::WrongPurpose
        }
        CertificateError::UnknownRevocationStatus => Refusal::RevocationUnknown,
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => Refusal::RevocationListExpired,
        // rustls has no variant of its own for this error.
        CertificateError::Other(other) if other.to_string().contains("UnsupportedCertVersion") => {
            Refusal::Version1
        }
        _ => Refusal::UnfitCertificate,
    }
}

/// Makes the counter of every reason visible before the first refusal.
pub(in crate::server) fn begin_at_zero() {
    for refusal in Refusal::ALL {
        metric::TLS_HANDSHAKES_REFUSED.with([refusal.name()]).increment(0);
    }
}

/// Logs, counts and records a refusal. A refused certificate is worth a warning; scanners and broken connections are
/// not. A client without a certificate is not recorded, because it has not tried to log in.
pub(super) fn tell(
    refusal: Refusal,
    client: SocketAddr,
    cause: Option<&io::Error>,
    catalog: &Catalog,
) {
    let reason = refusal.name();
    metric::TLS_HANDSHAKES_REFUSED.with([reason]).increment(1);
    let cause = cause.map(ToString::to_string);
    if refusal.concerns_certificate() {
        tracing::warn!(client.address = %client, reason, cause, "{}", refusal.text());
    } else {
        tracing::debug!(client.address = %client, reason, cause, "{}", refusal.text());
    }
    if refusal.concerns_certificate() && refusal != Refusal::NoCertificate {
        let address = subscriber(client.ip());
        let refused = RefusedLogin { caller: None, certificate: None, reason, address };
        catalog.note_refused_login(refused, None);
    }
}
