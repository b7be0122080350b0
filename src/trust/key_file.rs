//! Files of keys that are kept elsewhere: PEM, as OpenSSL writes and reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::key::{InvalidKey, KeyPair, PublicKey};
use crate::model::pem::{Content, sections};

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The beginning of every public Ed25519 key in DER (RFC 8410); the 32 bytes of the key follow.
const PUBLIC_DER: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

const KEY_LENGTH: usize = 32;
const LINE: usize = 64;

/// The error for a file that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyFile {
    #[error(
        "it is no Ed25519 key in PEM (`BEGIN PRIVATE KEY`, as `imagedepot trust keygen` and `openssl genpkey` write it)"
    )]
    NotSecret,
    #[error("the key is encrypted with a passphrase: decrypt it first (`openssl pkey`)")]
    Encrypted,
    #[error("it is no public Ed25519 key: neither 64 hex digits nor PEM with `BEGIN PUBLIC KEY`")]
    NotPublic,
    #[error(
        "it is the secret half of a key, which must not leave its machine: name the public half"
    )]
    IsSecret,
}

/// Returns the secret half of a key as the content of a file, without the last line's end.
pub fn secret_pem(key: &KeyPair) -> Result<SecretString, InvalidKey> {
    Ok(pem(PRIVATE, key.to_pkcs8()?.as_ref()).into())
}

/// Returns the public half of a key as the content of a file, without the last line's end.
pub fn public_pem(key: &PublicKey) -> String {
    let key = hex::decode(key.to_hex()).unwrap_or_default();
    pem(PUBLIC, &[&PUBLIC_DER, key.as_slice()].concat())
}

/// Reads the file of a secret half.
pub fn read_secret(bytes: &[u8]) -> Result<KeyPair, InvalidKeyFile> {
    let sections = sections(bytes).map_err(|_| InvalidKeyFile::NotSecret)?;
    if sections.iter().any(|section| section.label == "ENCRYPTED PRIVATE KEY") {
        return Err(InvalidKeyFile::Encrypted);
    }
    let section = sections.into_iter().find(|section| section.label == PRIVATE);
    match section.map(|section| section.content) {
        Some(Content::Der(der)) => {
            KeyPair::from_pkcs8(&der).map_err(|InvalidKey| InvalidKeyFile::NotSecret)
        }
        Some(Content::Encrypted) => Err(InvalidKeyFile::Encrypted),
        None => Err(InvalidKeyFile::NotSecret),
    }
}

/// Reads a public half: hex, or the content of a file.
pub fn read_public(text: &str) -> Result<PublicKey, InvalidKeyFile> {
    if let Ok(key) = hex::decode(text.trim()) {
        return public(&key);
    }
    let sections = sections(text.as_bytes()).map_err(|_| InvalidKeyFile::NotPublic)?;
    if sections.iter().any(|section| section.label.ends_with(PRIVATE)) {
        return Err(InvalidKeyFile::IsSecret);
    }
    let section = sections.into_iter().find(|section| section.label == PUBLIC);
    match section.map(|section| section.content) {
        Some(Content::Der(der)) => {
            public(der.strip_prefix(&PUBLIC_DER).ok_or(InvalidKeyFile::NotPublic)?)
        }
        _ => Err(InvalidKeyFile::NotPublic),
    }
}

fn public(key: &[u8]) -> Result<PublicKey, InvalidKeyFile> {
    if key.len() == KEY_LENGTH {
        Ok(PublicKey::ed25519(key))
    } else {
        Err(InvalidKeyFile::NotPublic)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        lines.push(line.to_owned());
        rest = behind;
    }
    lines.push(format!("-----END {label}-----"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn both_halves_are_read_back() {
        let key = KeyPair::generate().unwrap();
        let secret = secret_pem(&key).unwrap();
        assert_eq!(read_secret(secret.expose_secret().as_bytes()).unwrap().id(), key.id());
        let public = public_pem(key.public());
        assert_eq!(read_public(&public).as_ref(), Ok(key.public()));
        assert_eq!(
            read_public(&format!(" {}\n", key.public().to_hex())).as_ref(),
            Ok(key.public())
        );
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        // RFC 8410, section 10.3 and 10.1.
        let secret = "-----BEGIN PRIVATE KEY-----\n\
                      MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                      -----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
                      MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                      -----END PUBLIC KEY-----\n";
        let (key, half) = (read_secret(secret.as_bytes()).unwrap(), read_public(public).unwrap());
        assert_eq!(key.public(), &half);
    }

    #[test]
    fn what_is_no_key_is_refused_for_what_it_is() {
        let secret = secret_pem(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(read_public(secret.expose_secret()), Err(InvalidKeyFile::IsSecret));
        for text in
            ["", "abcd", "/no/such/file", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"]
        {
            assert_eq!(read_public(text), Err(InvalidKeyFile::NotPublic), "{text}");
        }
        assert_eq!(read_secret(b"x").unwrap_err(), InvalidKeyFile::NotSecret);
        let other = pem("ENCRYPTED PRIVATE KEY", b"x");
        assert_eq!(read_secret(other.as_bytes()).unwrap_err(), InvalidKeyFile::Encrypted);
    }
}
