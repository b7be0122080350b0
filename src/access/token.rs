//! The depot's own API tokens: JWTs that it signs itself, issued and verified here.
//!
//! The signature proves only that the depot issued the token. Its holder's rights, and whether it is still valid, are
//! in its row in the catalog, which the snapshot contains, so that revoking a token takes effect at once.
//!
//! Tokens are signed with Ed25519: keys and signatures are short, signing needs no random numbers, which could be bad
//! (as those of ES256), and verifying is no more expensive. `typ` keeps out tokens for other uses, whether or not they
//! are signed by the same key (RFC 8725 section 3.11).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Denied, jwt};
use crate::catalog::accounts::token::{NewKey, TokenDefinition, Unsigned};
use crate::catalog::{Actor, Catalog, Error, Snapshot};
use crate::model::{ApiToken, SigningKey};
use crate::storage::StorageError;

/// The `typ` of the depot's tokens.
pub const KIND: &str = "imagedepot-token+jwt";

/// The `aud` of these tokens: they are valid for this program's API, and for nothing else that may trust the key.
const AUDIENCE: &str = "imagedepot";

const ALGORITHM: Algorithm = Algorithm::EdDSA;

/// The refusal of a token that this depot does not know, or no longer knows.
pub(super) const UNKNOWN: Denied =
    Denied::BadToken("it was revoked, or was not issued by this depot");

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The name of the holder in the audit.
    sub: String,
    jti: Uuid,
    iat: i64,
    exp: i64,
}

/// Creates a token: its row, and the token itself, which cannot be generated again.
pub async fn issue(
    catalog: &Catalog,
    actor: &Actor,
    definition: TokenDefinition,
) -> Result<(ApiToken, SecretString), Error> {
    let unsigned = catalog.create_token(actor, definition, &new_key()?).await?;
    let text = sign(&unsigned)?;
    Ok((unsigned.token, text))
}

/// Generates a key.
pub fn new_key() -> Result<NewKey, Error> {
    let pair = Ed25519KeyPair::generate().map_err(|_| broken("no key could be generated"))?;
    let private = pair.to_pkcs8v1().map_err(|_| broken("no key could be generated"))?;
    Ok(NewKey {
        private_key: URL_SAFE_NO_PAD.encode(private.as_ref()).into(),
        public_key: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
    })
}

fn sign(Unsigned { token, key, private_key }: &Unsigned) -> Result<SecretString, Error> {
    jwt::install_cryptography();
    let claims = Claims {
        iss: key.issuer.clone(),
        aud: AUDIENCE.to_owned(),
        sub: token.caller_name(),
        jti: token.id,
        iat: token.created_at.timestamp(),
        exp: token.expires_at.timestamp(),
    };
    let header = Header {
        typ: Some(KIND.to_owned()),
        kid: Some(key.id.to_string()),
        ..Header::new(ALGORITHM)
    };
    let private = URL_SAFE_NO_PAD
        .decode(private_key.expose_secret())
        .map_err(|_| broken("the key that signs tokens cannot be read"))?;
    let signed = encode(&header, &claims, &EncodingKey::from_ed_der(&private));
    signed.map(Into::into).map_err(|_| broken("the key that signs tokens cannot be used"))
}

/// Returns the id of a token that the depot issued. The token's row decides everything else.
pub(super) fn verify(token: &str, head: &jwt::Head, snapshot: &Snapshot) -> Result<Uuid, Denied> {
    let id: Option<Uuid> = head.kid.as_ref().and_then(|kid| kid.parse().ok());
    let key = snapshot.signing_keys().iter().find(|key| Some(key.id) == id).ok_or(UNKNOWN)?;
    let public = DecodingKey::from_ed_components(&key.public_key).map_err(|_| UNKNOWN)?;
    let expected = jwt::Expected { issuer: &key.issuer, audience: AUDIENCE, leeway: 0 };
    let claims: Claims = jwt::verify(token, &public, ALGORITHM, &expected)?;
    Ok(claims.jti)
}

/// A public key in the format for other programs (RFC 7517, RFC 8037).
#[derive(Debug, Serialize)]
pub struct PublicKey {
    pub kty: &'static str,
    pub crv: &'static str,
    pub x: String,
    pub kid: Uuid,
    pub alg: &'static str,
    #[serde(rename = "use")]
    pub purpose: &'static str,
}

impl From<&SigningKey> for PublicKey {
    fn from(key: &SigningKey) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            x: key.public_key.clone(),
            kid: key.id,
            alg: "EdDSA",
            purpose: "sig",
        }
    }
}

fn broken(what: &str) -> Error {
    StorageError::Unusable(what.to_owned()).into()
}
