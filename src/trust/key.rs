//! Ed25519 keys: public halves as TUF writes them, and key pairs that sign.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::canonical::canonical;
use crate::model::Digest;

/// The name of a key: the SHA-256 of its canonical form, in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key. Keys of types other than Ed25519 can be read, and verify nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    keytype: String,
    keyval: KeyValue,
    scheme: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeyValue {
    public: String,
}

impl PublicKey {
    pub(super) fn ed25519(public: &[u8]) -> Self {
        let name = || "ed25519".to_owned();
        Self { keytype: name(), keyval: KeyValue { public: hex::encode(public) }, scheme: name() }
    }

    /// Returns the key itself, in hex.
    pub fn to_hex(&self) -> &str {
        &self.keyval.public
    }

    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&canonical(self)).to_hex())
    }

    /// Reports whether the key made this signature, in hex.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        if self.keytype != "ed25519" || self.scheme != "ed25519" {
            return false;
        }
        let (Ok(public), Ok(signature)) =
            (hex::decode(&self.keyval.public), hex::decode(signature))
        else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, public).verify(message, &signature).is_ok()
    }
}

/// The error for a secret that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not an Ed25519 key (PKCS #8, in hex)")]
pub struct InvalidKey;

/// A key that signs. It shows its public half alone.
pub struct KeyPair {
    pair: Ed25519KeyPair,
    public: PublicKey,
    id: KeyId,
}

impl KeyPair {
    /// Makes a key from the system's random source.
    pub fn generate() -> Result<Self, InvalidKey> {
        Ok(Self::new(Ed25519KeyPair::generate().map_err(|_| InvalidKey)?))
    }

    /// Reads what [`Self::secret`] has written.
    pub fn from_secret(secret: &SecretString) -> Result<Self, InvalidKey> {
        let document = hex::decode(secret.expose_secret().trim()).map_err(|_| InvalidKey)?;
        Self::from_pkcs8(&document)
    }

    /// Reads a key in PKCS #8, as other programs write it, too.
    pub(super) fn from_pkcs8(document: &[u8]) -> Result<Self, InvalidKey> {
        Ok(Self::new(Ed25519KeyPair::from_pkcs8(document).map_err(|_| InvalidKey)?))
    }

    /// Returns the secret half in PKCS #8, to be written elsewhere.
    pub(super) fn to_pkcs8(&self) -> Result<impl AsRef<[u8]>, InvalidKey> {
        self.pair.to_pkcs8v1().map_err(|_| InvalidKey)
    }

    fn new(pair: Ed25519KeyPair) -> Self {
        let public = PublicKey::ed25519(pair.public_key().as_ref());
        Self { id: public.id(), public, pair }
    }

    /// Returns the secret half, in PKCS #8 and hex.
    pub fn secret(&self) -> Result<SecretString, InvalidKey> {
        Ok(hex::encode(self.to_pkcs8()?).into())
    }

    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the signature in hex.
    pub fn sign(&self, message: &[u8]) -> String {
        hex::encode(self.pair.sign(message).as_ref())
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyPair").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_verifies_its_own_signatures_alone() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let signature = key.sign(b"message");
        assert!(key.public().verifies(b"message", &signature));
        assert!(!key.public().verifies(b"another", &signature));
        assert!(!other.public().verifies(b"message", &signature));
        assert!(!key.public().verifies(b"message", "not hex"));
    }

    #[test]
    fn a_key_is_read_back_and_does_not_show_its_secret() {
        let key = KeyPair::generate().unwrap();
        let secret = key.secret().unwrap();
        let read = KeyPair::from_secret(&secret).unwrap();
        assert_eq!(read.id(), key.id());
        let shown = format!("{key:?} {secret:?}");
        assert!(!shown.contains(secret.expose_secret()), "{shown}");
        assert_eq!(KeyPair::from_secret(&"abcd".into()).unwrap_err(), InvalidKey);
    }
}
