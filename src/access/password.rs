//! Passwords: the rules for them, and their hashes (Argon2id).

use std::collections::HashSet;
use std::sync::LazyLock;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};

/// The passwords that are tried first, among those that are long enough to be accepted.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("password/common.txt").lines().filter(|line| !line.starts_with('#')).collect()
});

/// The reason why a password was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPassword {
    #[error("a password must have 8 to 1,000 bytes")]
    Length,
    #[error("a password must not be the user's name")]
    Name,
    #[error("this password is one of the first that attackers try; use several words in a row")]
    Common,
}

/// Checks whether a user may have the password.
///
/// It follows NIST SP 800-63B: a length, a list of common passwords, and nothing that derives from the context. There
/// are no rules for digits and signs, which make people write `Password1!`.
fn check(name: &str, password: &str) -> Result<(), UnfitPassword> {
    if !(8..=1000).contains(&password.len()) {
        return Err(UnfitPassword::Length);
    }
    let password = password.to_lowercase();
    // Characters that are appended to a word to please a rule do not make it a different word.
    let word = password.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    if password == name.to_lowercase() || word == name.to_lowercase() {
        return Err(UnfitPassword::Name);
    }
    let one_character = password.chars().all(|c| password.starts_with(c));
    if one_character || COMMON.contains(&*password) || COMMON.contains(word) {
        return Err(UnfitPassword::Common);
    }
    Ok(())
}

/// Hashes a new password of a user; takes tens of milliseconds.
pub fn hash(name: &str, password: &SecretString) -> Result<String, UnfitPassword> {
    let password = password.expose_secret();
    check(name, password)?;
    // Only the length of a password can make hashing fail.
    let hash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|_| UnfitPassword::Length)?;
    Ok(hash.to_string())
}

/// Hashes like [`hash`], off the async threads.
pub async fn hash_in_background(
    name: &str,
    password: SecretString,
) -> Result<String, UnfitPassword> {
    let name = name.to_owned();
    tokio::task::spawn_blocking(move || hash(&name, &password))
        .await
        .map_err(|_| UnfitPassword::Length)?
}

/// Compares a password with a stored hash, with the hash's own parameters; takes tens of milliseconds.
pub(super) fn verify(password: &SecretString, stored: &str) -> bool {
    Argon2::default().verify_password(password.expose_secret().as_bytes(), stored).is_ok()
}

/// Hashes a password again that is known to be correct, whatever today's rules say about it.
pub(super) fn hash_again(password: &SecretString) -> Option<String> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.ok().map(|hash| hash.to_string())
}

/// Reports whether a stored hash was made with less effort than today's hashes.
pub(super) fn is_outdated(stored: &str) -> bool {
    let Ok(hash) = PasswordHash::new(stored) else { return false };
    let Ok(made_with) = Params::try_from(&hash) else { return false };
    let today = Params::default();
    hash.algorithm != Algorithm::Argon2id.ident()
        || hash.version != Some(Version::V0x13.into())
        || made_with.m_cost() < today.m_cost()
        || made_with.t_cost() < today.t_cost()
        || made_with.p_cost() < today.p_cost()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_tries_is_refused() {
        for password in
            ["password", "Password1!", "12345678", "qwertyuiop", "aaaaaaaa", "iloveyou2024"]
        {
            assert_eq!(check("alice", password), Err(UnfitPassword::Common), "{password}");
        }
        for password in ["packerin", "PackerIn", "packerin1!"] {
            assert_eq!(check("packerin", password), Err(UnfitPassword::Name), "{password}");
        }
        for password in ["", "short", &"x".repeat(1001)] {
            assert_eq!(check("alice", password), Err(UnfitPassword::Length), "{password}");
        }
        for password in
            ["correct horse battery staple", "of the tills", "ääääääüü", "packerin packs"]
        {
            assert_eq!(check("packerin", password), Ok(()), "{password}");
        }
    }

    #[test]
    fn every_line_of_the_list_could_be_a_password() {
        for line in &*COMMON {
            assert!(line.len() >= 6 && *line == line.to_lowercase(), "{line}");
        }
    }

    #[test]
    fn hashes_of_less_effort_are_found() {
        let with = |m, t, p| {
            let params = Params::new(m, t, p, None).unwrap();
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon.hash_password(b"correct horse").unwrap().to_string()
        };
        let today = Params::default();
        assert!(!is_outdated(&hash("alice", &"correct horse".to_owned().into()).unwrap()));
        assert!(is_outdated(&with(8192, today.t_cost(), 1)));
        assert!(is_outdated(&with(today.m_cost(), 1, 1)));
        assert!(!is_outdated(&with(today.m_cost() * 2, today.t_cost(), 1)), "more is no less");
        assert!(!is_outdated("what is this"));
        let password = "correct horse".to_owned().into();
        assert!(verify(&password, &with(8192, 1, 1)), "old hashes let in");
        assert!(!is_outdated(&hash_again(&password).unwrap()));
    }
}
