//! The new password of a user. It is never an argument, because arguments show in process lists.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use secrecy::SecretString;

use super::credentials::from_file;
use super::error::Failure;
use super::exit_code::Exit;
use crate::model::text_file::without_byte_order_mark;

const VARIABLE: &str = "IMAGEDEPOT_NEW_PASSWORD";

const NO_PASSWORD: &str = "no password was given: set IMAGEDEPOT_NEW_PASSWORD or IMAGEDEPOT_NEW_PASSWORD_FILE, or write the password to standard input";

/// The longest password with its line end, in bytes.
const LONGEST: u64 = 4096;

/// Reads the password from `IMAGEDEPOT_NEW_PASSWORD_FILE`, from `IMAGEDEPOT_NEW_PASSWORD`, from the person at the
/// terminal, or from standard input.
pub fn read() -> Result<SecretString, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(file) = variable(&format!("{VARIABLE}_FILE")) {
        return from_file(Path::new(&file));
    }
    if let Some(password) = variable(VARIABLE) {
        return Ok(password.into());
    }
    if std::io::stdin().is_terminal() {
        return ask();
    }
    let mut text = String::new();
    let input = std::io::stdin().take(LONGEST).read_to_string(&mut text);
    input.map_err(|error| Failure::local("read", Path::new("standard input"), &error))?;
    let password = without_byte_order_mark(&text).lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::usage(NO_PASSWORD));
    }
    Ok(password.to_owned().into())
}

fn ask() -> Result<SecretString, Failure> {
    dialoguer::Password::new()
        .with_prompt("New password")
        .with_confirmation("New password again", "the passwords differ")
        .interact()
        .map(SecretString::from)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot ask for the password: {error}")))
}
