//! The authentication methods. Each listener offers its own selection.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WayIn)]
pub enum AuthenticationMethod {
    /// A user's name and password (RFC 7617).
    Basic,
    /// A token of this server or of an outside issuer (RFC 6750).
    Bearer,
    /// A Kerberos ticket (RFC 4559).
    Negotiate,
    /// A client certificate that is mapped to a user.
    Certificate,
}

impl AuthenticationMethod {
    pub const ALL: [Self; 4] = [Self::Basic, Self::Bearer, Self::Negotiate, Self::Certificate];

    /// Returns the challenge in a 401 for clients that could use this method. There is none for certificates, which are
    /// requested in the TLS handshake or never.
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Basic => Some(r#"Basic realm="imagedepot", charset="UTF-8""#),
            Self::Bearer => Some(r#"Bearer realm="imagedepot""#),
            Self::Negotiate => Some("Negotiate"),
            Self::Certificate => None,
        }
    }
}
