//! Basic credentials (RFC 7617), in UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::Denied;

/// A name and a password, as they were sent.
pub struct Credentials {
    pub name: String,
    pub password: SecretString,
}

/// Reads the text behind `Basic` in an `Authorization` header.
pub fn parse(encoded: &str) -> Result<Credentials, Denied> {
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| Denied::Unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| Denied::NotUtf8)?;
    let (name, password) = text.split_once(':').ok_or(Denied::Unreadable)?;
    Ok(Credentials { name: name.to_owned(), password: password.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_password_may_hold_colons() {
        let credentials = parse("YWxpY2U6YTpi").unwrap();
        assert_eq!(
            (credentials.name.as_str(), credentials.password.expose_secret()),
            ("alice", "a:b")
        );
    }

    #[test]
    fn latin_1_is_named() {
        // "müller:secret" as older clients send it.
        assert_eq!(parse("bfxsbGVyOnNlY3JldA==").err(), Some(Denied::NotUtf8));
    }

    #[test]
    fn broken_text_is_told_apart_from_wrong_passwords() {
        for encoded in ["", "!!!", "YWxpY2U="] {
            assert_eq!(parse(encoded).err(), Some(Denied::Unreadable), "{encoded}");
        }
    }
}
