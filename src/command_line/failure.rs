//! Reports the failure of a command.

use std::backtrace::BacktraceStatus;
use std::process::ExitCode;

use crate::client::output::complain;

/// Reports an error on standard error, for people.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    complain(&format!("imagedepot: {}", in_full(error)));
    // Captured where the error arose, if `RUST_BACKTRACE` asks for it.
    if error.backtrace().status() == BacktraceStatus::Captured {
        complain(&error.backtrace().to_string());
    }
    ExitCode::FAILURE
}

/// Returns the error's message with its causes, except those that the message already contains.
pub(super) fn in_full(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if cause.starts_with(&message) {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("the disk is gone");
        let error =
            anyhow::Error::from(cause).context("/x: the disk is gone").context("the catalog");
        assert_eq!(in_full(&error), "the catalog: /x: the disk is gone");
        let error = anyhow::anyhow!("/x: the disk is gone").context("/x");
        assert_eq!(in_full(&error), "/x: the disk is gone");
    }
}
