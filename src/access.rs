//! Who is calling, and what they may.
//!
//! [`basic`] reads credentials, [`Authenticator`] checks them against the snapshot's accounts,
//! [`permission`] names the rights that handlers ask for. Which right an operation needs stands in
//! the operation's signature, in the API.

pub mod basic;
pub mod identity;
pub mod password;
pub mod permission;

pub use identity::Identity;
pub use password::Authenticator;
pub use permission::Permission;

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("this needs credentials")]
    Anonymous,
    #[error("the name or the password is wrong, or the user is disabled")]
    WrongCredentials,
    #[error(
        "the Authorization header is not one that this server reads: send Basic credentials, once"
    )]
    Unreadable,
    /// Too many passwords are being checked already.
    #[error("too many log-ins at once")]
    Busy,
}
