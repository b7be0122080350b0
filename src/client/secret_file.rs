//! A file for a secret that is shown once. Only its owner can read it, from the moment it is created.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::fstat;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::Failure;
use super::output::complain;

/// Creates a new file. An existing one is refused: others may be able to read it, and it may contain another secret.
pub fn create(path: &Path) -> Result<File, Failure> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::local("create", path, &error))
}

pub fn write(mut file: File, path: &Path, secret: &SecretString) -> Result<(), Failure> {
    writeln!(file, "{}", secret.expose_secret())
        .and_then(|()| file.sync_all())
        .map_err(|error| Failure::local("write", path, &error))
}

pub fn take_away(path: &Path) {
    let _it_was_ours = std::fs::remove_file(path);
}

/// Warns if standard output is a file that others may read, because the shell made it as its umask says.
pub fn warn_if_others_may_read() {
    let Ok(about) = fstat(std::io::stdout()) else { return };
    let is_file = rustix::fs::FileType::from_raw_mode(about.st_mode).is_file();
    if is_file && about.st_mode & 0o077 != 0 {
        complain(
            "imagedepot: warning: other users may read the file that this token is written to; --out FILE creates one that only its owner can read",
        );
    }
}
