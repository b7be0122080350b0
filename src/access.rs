//! Access: identifies the caller of a request, and names the rights that callers have.
//!
//! There are several [authentication methods](authentication_method):
//!
//! - [`basic`] reads a name and a password. [`Authenticator`] checks them against the snapshot's accounts, slowed down
//!   by the [`login_throttle`] where passwords are being guessed;
//! - [`bearer`] accepts tokens: the depot's own ([`token`]) and those of an outside issuer ([`oidc`]);
//! - `negotiate` accepts Kerberos tickets, whose [`principal`]s are mapped to users;
//! - [`certificate`] looks up the snapshot's certificate mappings.
//!
//! Each of them yields an [`Identity`]. [`origin`] determines where a request comes from, also behind proxies.
//! [`permission`] names the rights that handlers ask for; the signature of an operation in the API says which right it
//! needs.

pub mod authentication_method;
pub mod authenticator;
pub mod basic;
pub mod bearer;
pub mod certificate;
pub mod identity;
pub mod jwt;
pub mod login_throttle;
#[cfg(feature = "negotiate")]
pub mod negotiate;
pub mod oidc;
pub mod origin;
pub mod password;
pub mod permission;
pub mod principal;
pub mod token;

use std::time::Duration;

pub use authentication_method::AuthenticationMethod;
pub use authenticator::Authenticator;
pub use bearer::TokenReader;
pub use identity::Identity;
pub use origin::{Origin, TrustedProxies};
pub use permission::Permission;

/// The reason why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the request needs credentials")]
    Anonymous,
    #[error("the name or the password is wrong, or the user is disabled")]
    WrongCredentials,
    #[error(
        "this server cannot read the Authorization header: send it once, with credentials of a type that \
         WWW-Authenticate names"
    )]
    Unreadable,
    #[error(
        "the name and the password are not encoded in UTF-8, which the challenge asks for (RFC 7617 section 2.1): \
         older clients send Latin-1, which is the same only for ASCII characters"
    )]
    NotUtf8,
    /// Other listeners may offer this authentication method.
    #[error(
        "this address of the server does not accept credentials of this type; WWW-Authenticate names the accepted types"
    )]
    NotOffered,
    /// The reason is safe to disclose to the sender: it reveals nothing about other tokens.
    #[error("the token is not accepted: {0}")]
    BadToken(&'static str),
    #[error("the token has expired")]
    ExpiredToken,
    #[error("the token is valid, but no entry of access.oidc.grant gives its holder a right")]
    NoGrant,
    /// The caller's account may have changed since.
    #[error(
        "the database has not answered for longer than access.stale_after, so this server cannot check who may log \
         in; try again"
    )]
    Stale,
    #[error("the keys of the token's issuer are not available at the moment; try again")]
    IssuerAway,
    /// A certificate mapping refuses it.
    #[error("a certificate mapping refuses this certificate; ask an administrator")]
    CertificateRefused,
    #[error(
        "no certificate mapping matches this certificate, so it identifies no user: an administrator can create one; \
         the server's log describes the certificate under this request_id"
    )]
    CertificateNotMapped,
    #[error("the user that this certificate is mapped to is disabled")]
    CertificateOfDisabled,
    #[error(
        "the names in this certificate cannot be read, so it identifies no user; have another certificate issued"
    )]
    CertificateUnreadable,
    #[error("this address of the server requires a client certificate, and the client sent none")]
    CertificateMissing,
    /// The header comes from a trusted proxy.
    #[error(
        "the proxy's Client-Cert header is not a certificate, or was sent twice: the proxy has to set this header, \
         and to remove it from the client's request"
    )]
    CertificateHeader,
    /// Wrong passwords were sent before, so this one was not checked.
    #[error("wrong passwords were sent before; try again later")]
    Slowed { wait: Duration },
    /// Only the log says which of these it is.
    #[error(
        "the Kerberos ticket was not accepted: it has expired, was used before, or is for another server"
    )]
    WrongTicket,
    #[error(
        "the token is NTLM, but this server accepts only Kerberos: the client has no ticket for HTTP/ and the name by \
         which it calls the server; log in to the domain and use the server's full name"
    )]
    Ntlm,
    #[error("the exchange of tokens would need several requests, but this server accepts only one")]
    TooManySteps,
    #[error("the ticket's principal is not a user here, or the user is disabled")]
    NoSuchPrincipal,
    /// Too many passwords are being checked already.
    #[error("too many log-ins are in progress; try again")]
    Busy,
}
