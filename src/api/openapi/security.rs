//! The authentication methods, as the OpenAPI document describes them. A server's settings say which of them an address
//! accepts.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, SecurityRequirement};

use crate::access::WayIn;

/// Returns the security schemes, by the names that operations refer to.
pub(super) fn schemes() -> Components {
    let add =
        |components: ComponentsBuilder, way| components.security_scheme(name(way), scheme(way));
    WayIn::ALL.into_iter().fold(ComponentsBuilder::new(), add).build()
}

/// Returns the requirement of any one of them, for every operation that has no requirement of its own.
pub(super) fn any() -> impl Iterator<Item = SecurityRequirement> {
    WayIn::ALL.into_iter().map(|way| SecurityRequirement::new(name(way), Vec::<String>::new()))
}

fn name(way: WayIn) -> &'static str {
    match way {
        WayIn::Basic => "basic",
        WayIn::Bearer => "bearer",
        WayIn::Negotiate => "negotiate",
        WayIn::Certificate => "certificate",
    }
}

fn scheme(way: WayIn) -> SecurityScheme {
    let http = |scheme, description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new().scheme(scheme).description(Some(description)).build(),
        )
    };
    match way {
        WayIn::Basic => http(HttpAuthScheme::Basic, "A user of the catalog, by name and password."),
        WayIn::Bearer => http(
            HttpAuthScheme::Bearer,
            "An API token (`POST /api/v1/tokens`), or a token of the outside issuer that the settings name.",
        ),
        WayIn::Negotiate => http(
            HttpAuthScheme::Negotiate,
            "A Kerberos ticket for `HTTP/` and the server's name (RFC 4559).",
        ),
        WayIn::Certificate => SecurityScheme::MutualTls {
            description: Some("A client certificate that is mapped to a user.".to_owned()),
            deprecated: None,
            extensions: None,
        },
    }
}
