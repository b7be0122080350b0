//! The roles of users and tokens, as the command line writes them.

use clap::ValueEnum;

/// The name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    Client,
    Reader,
    Publisher,
    Promoter,
    Admin,
}

impl RoleName {
    /// Returns the name in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Reader => "reader",
            Self::Publisher => "publisher",
            Self::Promoter => "promoter",
            Self::Admin => "admin",
        }
    }
}

/// Returns the names of these roles in the API.
pub fn names(roles: &[RoleName]) -> Vec<&'static str> {
    roles.iter().map(RoleName::as_str).collect()
}
