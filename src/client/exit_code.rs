//! The exit codes that scripts may rely on.
//!
//! They tell apart what a script would handle differently: try later, fix the credentials, pick
//! another revision, free some disk. They are part of the interface: a number never changes its
//! meaning.

/// How a command ended, when it did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// None of the others; the message says what.
    Other = 1,
    /// The command line or the settings do not make sense, or the server says so of a value in them (400, 422).
    Usage = 2,
    /// No answer, a broken line, an untrusted certificate, or "not now" (429, 503) to the last try; likewise of a database
    /// or a bucket.
    Unreachable = 3,
    /// The credentials are wrong or do not suffice (401, 403).
    Refused = 4,
    /// No such image, revision, channel or user, no catalog, or nothing is offered (404, 410).
    NotFound = 5,
    /// The state of things does not allow it, or somebody else was first (409, 412).
    Conflict = 6,
    /// The bytes are not those that the digest names.
    Verification = 7,
    /// No room, here or there (413, 507), or a local file cannot be read or written.
    Storage = 8,
    /// Ctrl-C (SIGINT); the number is what shells give a command that a signal ended: 128 + 2.
    Interrupted = 130,
}

/// For `after_help` of every command.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for another reason than those below, or something is damaged or was left out
  2  the command line or the settings are wrong, or the server refuses a value in them
  3  the server, the database or the bucket cannot be reached, or is too busy even after several tries
  4  refused: the credentials are wrong or do not suffice
  5  not found: no such image, revision, channel, user or catalog, or nothing is assigned to it
  6  conflict: the state of the image, revision or channel does not allow it
  7  verification failed: the bytes do not match their digest
  8  no room, or a local file or folder cannot be read or written
  130  interrupted with Ctrl-C";

impl Exit {
    /// What a refusal with this HTTP status means for a script.
    pub const fn for_status(status: u16) -> Self {
        match status {
            400 | 422 => Self::Usage,
            401 | 403 => Self::Refused,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Conflict,
            413 | 507 => Self::Storage,
            429 | 502 | 503 | 504 => Self::Unreachable,
            _ => Self::Other,
        }
    }

    /// In a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Other => "Failed",
            Self::Usage => "Wrong command line or settings",
            Self::Unreachable => "Cannot be reached now",
            Self::Refused => "Refused",
            Self::NotFound => "Not found",
            Self::Conflict => "Conflict",
            Self::Verification => "Verification failed",
            Self::Storage => "No room, or a file that cannot be read or written",
            Self::Interrupted => "Interrupted",
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as Self
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(u8::from(exit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_exit_code() {
        let all = [
            Exit::Other,
            Exit::Usage,
            Exit::Unreachable,
            Exit::Refused,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Verification,
            Exit::Storage,
            Exit::Interrupted,
        ];
        for (exit, number) in all.into_iter().zip((1..=8).chain([130])) {
            assert_eq!(u8::from(exit), number);
            assert!(EXIT_CODES.contains(&format!("\n  {number}  ")), "{number}");
        }
    }
}
