//! Access: identifies the caller of a request, and names the rights that callers have.
//!
//! There are several [authentication methods](way_in):
//!
//! - [`basic`] reads a name and a password. [`Authenticator`] checks them against the snapshot's accounts, slowed down
//!   by the [`login_throttle`] where passwords are being guessed;
//! - [`bearer`] accepts tokens: the depot's own ([`token`]) and those of an outside issuer ([`oidc`]);
//! - `negotiate` accepts Kerberos tickets, whose [`principal`]s are mapped to users;
//! - [`certificate`] looks up the snapshot's certificate mappings.
//!
//! Each of them yields an [`Identity`]. [`origin`] determines where a request comes from, also behind proxies, and
//! [`address_range`] the addresses that are counted as one person's. [`permission`] names the rights that handlers ask
//! for; the signature of an operation in the API says which right it needs.

pub mod address_range;
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
    #[error("this needs credentials")]
    Anonymous,
    #[error("the name or the password is wrong, or the user is disabled")]
    WrongCredentials,
    #[error(
        "the Authorization header is not one that this server reads: send credentials of a kind that \
         WWW-Authenticate names, once"
    )]
    Unreadable,
    #[error(
        "the name and the password are not in UTF-8, which the challenge asks for (RFC 7617 section 2.1): older clients send \
         Latin-1, of which only ASCII is the same"
    )]
    NotUtf8,
    /// Other listeners may offer this authentication method.
    #[error(
        "this address of the server does not take credentials of this kind; WWW-Authenticate names those that it takes"
    )]
    NotOffered,
    /// The reason is safe to disclose to the sender: it reveals nothing about other tokens.
    #[error("the token is not accepted: {0}")]
    BadToken(&'static str),
    #[error("the token has expired")]
    ExpiredToken,
    #[error(
        "the token is good, but nothing in it gives its holder a right here (access.oidc.grant)"
    )]
    NoGrant,
    /// The caller's account may have changed since.
    #[error(
        "the database has not answered for some time, so nobody is logged in from what this server knew before; try again"
    )]
    Stale,
    #[error("the keys of the token's issuer are not at hand at the moment")]
    IssuerAway,
    /// A certificate mapping refuses it.
    #[error("this certificate is refused by a certificate mapping; an administrator knows why")]
    CertificateRefused,
    #[error(
        "no certificate mapping fits this certificate, so it stands for nobody: an administrator may make one, the \
         server's log describes the certificate under this request_id"
    )]
    CertificateNotMapped,
    #[error("the user whom this certificate is mapped to is disabled")]
    CertificateOfDisabled,
    #[error(
        "the names in this certificate cannot be read, so nothing says whom it stands for; have another one issued"
    )]
    CertificateUnreadable,
    #[error("this address of the server is for those who have a client certificate, and none came")]
    CertificateMissing,
    /// The header comes from a trusted proxy.
    #[error(
        "the proxy's Client-Cert header is no certificate, or came twice: the proxy has to set it, and take away what \
         the client sent under this name"
    )]
    CertificateHeader,
    /// Wrong passwords were sent before, so this one was not checked.
    #[error("wrong passwords came from here; try again later")]
    Slowed { wait: Duration },
    /// Only the log says which of these it is.
    #[error("the ticket was not taken: it has expired, was used before or is for another server")]
    WrongTicket,
    #[error(
        "the token is NTLM, and this server takes Kerberos: the client has no ticket for HTTP/ and the name \
         that it calls the server by; it needs to be logged in to the domain and to use the server's full name"
    )]
    Ntlm,
    #[error("the exchange of tokens would take several requests, and this server takes one")]
    TooManySteps,
    #[error("the ticket's owner is no user here, or a disabled one")]
    NoSuchPrincipal,
    /// Too many passwords are being checked already.
    #[error("too many log-ins at once")]
    Busy,
}
