//! JSON Web Tokens (RFC 7519) of any issuer: reads the head before anything is trusted, then checks the signature and
//! the claims that every token has.
//!
//! The signature is checked with an algorithm that the caller has pinned to the key. Keys that the token itself names
//! (`jwk`, `jku`, `x5u`, `x5c`) are never used (RFC 8725).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, crypto, decode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Denied;

/// The length up to which a token is decoded, in bytes. A token with hundreds of groups has a few kilobytes.
const LONGEST: usize = 16 * 1024;
const LONGEST_KEY_ID: usize = 256;

/// The head of a token, of which nothing is proven.
#[derive(Debug, Deserialize)]
pub struct Head {
    #[serde(default)]
    typ: Option<String>,
    pub alg: String,
    #[serde(default)]
    pub kid: Option<String>,
    /// Critical extensions, which anyone who does not know them must refuse (RFC 7515 section 4.1.11). This server
    /// knows none.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// The issuer and the audience that a token must have.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// The difference between clocks that is allowed, in seconds.
    pub leeway: u64,
}

/// Selects the cryptography that signs and verifies, before its first use. It is the same that TLS uses.
pub fn install_cryptography() {
    // This fails if it was done before, with the same provider.
    let _done_before = crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

/// Reads the head of a token.
pub fn head(token: &str) -> Result<Head, Denied> {
    const MALFORMED: Denied = Denied::BadToken("it is not a signed JWT");
    if token.len() > LONGEST {
        return Err(Denied::BadToken("it is longer than 16 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(head), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    let bytes = URL_SAFE_NO_PAD.decode(head).map_err(|_| MALFORMED)?;
    let head: Head = serde_json::from_slice(&bytes).map_err(|_| MALFORMED)?;
    if head.crit.is_some() {
        return Err(Denied::BadToken(
            "it requires extensions (crit) that this server does not support",
        ));
    }
    if head.kid.as_ref().is_some_and(|kid| kid.len() > LONGEST_KEY_ID) {
        return Err(MALFORMED);
    }
    Ok(head)
}

impl Head {
    /// Returns the kind of token that the head claims, in the form in which media types are compared; none if it claims
    /// no kind.
    pub fn kind(&self) -> Option<String> {
        let typ = self.typ.as_ref()?.to_ascii_lowercase();
        Some(typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ))
    }
}

/// Checks the signature with this algorithm and no other, the issuer, the audience and the time of validity, and
/// returns the claims.
pub fn verify<C: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    expected: &Expected<'_>,
) -> Result<C, Denied> {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.audience]);
    validation.validate_nbf = true;
    validation.leeway = expected.leeway;
    match decode::<C>(token, key, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::ExpiredSignature => Denied::ExpiredToken,
            ErrorKind::ImmatureSignature => Denied::BadToken("it is not valid yet"),
            ErrorKind::InvalidIssuer => Denied::BadToken("it is from another issuer"),
            ErrorKind::InvalidAudience => Denied::BadToken("it is meant for another audience"),
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
                Denied::BadToken("it lacks exp, iss, aud or sub, or one of these cannot be read")
            }
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
                Denied::BadToken("its claims cannot be read, or one of them occurs twice")
            }
            _ => Denied::BadToken("its signature is wrong"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_head(json: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn the_kind_is_compared_as_media_types_are() {
        let token = with_head(r#"{"alg":"EdDSA","typ":"application/AT+JWT"}"#);
        assert_eq!(head(&token).unwrap().kind().as_deref(), Some("at+jwt"));
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        for json in [
            r#"{"alg":"EdDSA","alg":"none"}"#,
            r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#,
            r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
            r#"{"alg":"EdDSA","crit":[]}"#,
            r#"{"kid":"a"}"#,
            r#"["EdDSA"]x"#,
        ] {
            assert!(matches!(head(&with_head(json)), Err(Denied::BadToken(_))), "{json}");
        }
        for token in ["", "a", "a.b", "a.b.c.d", "!.!.!", &"x".repeat(20_000)] {
            assert!(matches!(head(token), Err(Denied::BadToken(_))), "{token:.20}");
        }
    }
}
