//! The authentication methods, as the OpenAPI document describes them. A server's settings say which of them an address
//! accepts.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, SecurityRequirement};

use crate::access::AuthenticationMethod;

/// Returns the security schemes, by the names that operations refer to.
pub(super) fn schemes() -> Components {
    let add =
        |components: ComponentsBuilder, way| components.security_scheme(name(way), scheme(way));
    AuthenticationMethod::ALL.into_iter().fold(ComponentsBuilder::new(), add).build()
}

/// Returns the requirement of any one of them, for every operation that has no requirement of its own.
pub(super) fn any() -> impl Iterator<Item = SecurityRequirement> {
    AuthenticationMethod::ALL
        .into_iter()
        .map(|way| SecurityRequirement::new(name(way), Vec::<String>::new()))
}

fn name(way: AuthenticationMethod) -> &'static str {
    match way {
        AuthenticationMethod::Basic => "basic",
        AuthenticationMethod::Bearer => "bearer",
        AuthenticationMethod::Negotiate => "negotiate",
        AuthenticationMethod::Certificate => "certificate",
    }
}

fn scheme(way: AuthenticationMethod) -> SecurityScheme {
    let http = |scheme, description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new().scheme(scheme).description(Some(description)).build(),
        )
    };
    match way {
        AuthenticationMethod::Basic => {
            http(HttpAuthScheme::Basic, "A user of the catalog, by name and password.")
        }
        AuthenticationMethod::Bearer => http(
            HttpAuthScheme::Bearer,
            "An API token (`POST /api/v1/tokens`), or a token of the outside issuer that the settings name.",
        ),
        AuthenticationMethod::Negotiate => http(
            HttpAuthScheme::Negotiate,
            "A Kerberos ticket for `HTTP/` and the server's name (RFC 4559).",
        ),
        AuthenticationMethod::Certificate => SecurityScheme::MutualTls {
            description: Some("A client certificate that is mapped to a user.".to_owned()),
            deprecated: None,
            extensions: None,
        },
    }
}
