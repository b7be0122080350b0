//! Who is calling, and what they may.
//!
//! There are several [ways in](way_in). [`basic`] reads a name and a password, [`Authenticator`] checks
//! them against the snapshot's accounts; [`bearer`] takes tokens, the depot's own ([`token`]) and those of an
//! outside issuer ([`oidc`]); whoever was recognised, by whichever way, is an [`Identity`].
//! [`permission`] names the rights that handlers ask for. Which right an operation needs stands in
//! the operation's signature, in the API.

pub mod basic;
pub mod bearer;
pub mod identity;
pub mod jwt;
pub mod oidc;
pub mod password;
pub mod permission;
pub mod token;
pub mod way_in;

pub use bearer::TokenReader;
pub use identity::Identity;
pub use password::Authenticator;
pub use permission::Permission;
pub use way_in::WayIn;

/// Why a caller is turned away.
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
    /// Other listeners may have it.
    #[error(
        "this address of the server does not take credentials of this kind; WWW-Authenticate names those that it takes"
    )]
    NotOffered,
    /// Whoever sent it may know why: it says nothing of other tokens.
    #[error("the token is not accepted: {0}")]
    BadToken(&'static str),
    #[error("the token has expired")]
    ExpiredToken,
    #[error(
        "the token is good, but nothing in it gives its holder a right here (access.oidc.grant)"
    )]
    NoGrant,
    #[error("the keys of the token's issuer are not at hand at the moment")]
    IssuerAway,
    /// Too many passwords are being checked already.
    #[error("too many log-ins at once")]
    Busy,
}
