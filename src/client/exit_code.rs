//! The exit codes that scripts may rely on.
//!
//! They distinguish the cases that a script would handle differently: try later, fix the credentials, pick another
//! revision, free some disk space. They are part of the interface: a number never changes its meaning.

/// The reason for which a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Any other failure; the message says what happened.
    Other = 1,
    /// The command line or the settings are wrong, or the server says so of a value in them (400, 422).
    Usage = 2,
    /// No answer, a broken connection, an untrusted certificate, or "not now" (429, 502, 503, 504) at the last try;
    /// likewise for a database or a bucket.
    Unreachable = 3,
    /// The credentials are wrong or not sufficient (401, 403).
    Refused = 4,
    /// There is no such image, revision, channel, user or catalog, or the channel offers nothing (404, 410).
    NotFound = 5,
    /// The current state does not allow the action, or another caller was first (409, 412).
    Conflict = 6,
    /// The bytes do not match their digest.
    Verification = 7,
    /// There is not enough disk space, here or on the server (413, 507), or a local file cannot be read or written.
    Storage = 8,
    /// Ctrl-C (SIGINT). The number is the one shells use for a command that a signal ended: 128 + 2.
    Interrupted = 130,
}

/// The list of exit codes, for `after_help` of every command.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for another reason than those below, or something is damaged or was left out
  2  the command line or the settings are wrong, or the server refuses a value in them
  3  the server, the database or the bucket cannot be reached, or is too busy even after several tries
  4  refused: the credentials are wrong or not sufficient
  5  not found: no such image, revision, channel, user or catalog, or nothing is assigned to it
  6  conflict: the state of the image, revision or channel does not allow it
  7  verification failed: the bytes do not match their digest
  8  not enough disk space, or a local file or folder cannot be read or written
  130  interrupted with Ctrl-C";

impl Exit {
    /// Returns the exit code for a refusal with this HTTP status.
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

    /// Returns a short title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Other => "Failed",
            Self::Usage => "Wrong command line or settings",
            Self::Unreachable => "Unreachable",
            Self::Refused => "Refused",
            Self::NotFound => "Not found",
            Self::Conflict => "Conflict",
            Self::Verification => "Verification failed",
            Self::Storage => "Not enough disk space, or a file that cannot be read or written",
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
    fn the_help_and_the_reference_name_every_exit_code() {
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
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let reference = std::fs::read_to_string(reference).unwrap();
        let section = reference.split("\n## Exit codes\n").nth(1).unwrap();
        let rows = section.split("\n## ").next().unwrap().lines();
        assert_eq!(
            rows.filter(|line| line.contains("| `")).count(),
            all.len() + 1,
            "0 beside them"
        );
        for (exit, number) in all.into_iter().zip((1..=8).chain([130])) {
            assert_eq!(u8::from(exit), number);
            assert!(section.contains(&format!("\n| {number} | `{exit:?}` | ")), "{exit:?}");
            assert!(EXIT_CODES.contains(&format!("\n  {number}  ")), "{number}");
        }
    }
}
