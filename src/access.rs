//! Who is calling, and what they may.
//!
//! There are several [ways in](way_in). [`basic`] reads a name and a password, [`Authenticator`] checks
//! them against the snapshot's accounts, slowed by the [`guard`] where guesses come; `negotiate` takes Kerberos
//! tickets, whose [`principal`]s are users; whoever was recognised, by whichever way, is an [`Identity`].
//! [`permission`] names the rights that handlers ask for. Which right an operation needs stands in
//! the operation's signature, in the API.

pub mod authenticator;
pub mod basic;
pub mod guard;
pub mod identity;
#[cfg(feature = "negotiate")]
pub mod negotiate;
pub mod password;
pub mod permission;
pub mod principal;
pub mod way_in;

use std::time::Duration;

pub use authenticator::Authenticator;
pub use identity::Identity;
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
    /// Wrong passwords came before: this one was not looked at.
    #[error("wrong passwords came from here; try again later")]
    Slowed { wait: Duration },
    /// Of which kind, only the log says.
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
