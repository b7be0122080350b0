//! The end of a failed command of the server's side: its exit code, and what scripts read about it. The codes are those
//! of the commands that work over HTTP (`client::exit_code`), for the same reasons.

use std::process::ExitCode;

use super::super::failure::{fail, in_full};
use crate::api::conventions::problem::Code;
use crate::catalog;
use crate::client::output::{Output, say};
use crate::client::{Exit, Failure};
use crate::config::ConfigError;
use crate::server::ServerError;
use crate::storage::StorageError;

/// The error of a command that did its work and reported the result, of which not all is well: damaged files, or
/// revisions that were left out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Incomplete(pub String);

/// Reports an error on standard error for people, and on standard output for scripts that have not read the result
/// there.
pub(super) fn end(error: &anyhow::Error, output: Output) -> ExitCode {
    // This shows the backtrace, if there is one. The exit code is determined below.
    let _code = fail(error);
    let failure = failure(error);
    if output == Output::Json && !error.is::<Incomplete>() {
        // If that fails, nobody is left to report it to.
        let _unread = say(&failure.problem().to_string());
    }
    failure.exit().into()
}

/// Returns the failure of the client's commands that corresponds to an error.
pub(super) fn failure(error: &anyhow::Error) -> Failure {
    let known = error.chain().find_map(|cause| {
        let of_client = |failure: &Failure| {
            let known = Failure::new(failure.exit(), "");
            failure.code().map_or(known, |code| Failure::new(failure.exit(), "").with_code(code))
        };
        let other = |exit| Failure::new(exit, "");
        cause
            .downcast_ref::<Failure>()
            .map(of_client)
            .or_else(|| cause.downcast_ref::<ServerError>().map(of_server))
            .or_else(|| cause.downcast_ref::<catalog::Error>().map(of_catalog))
            .or_else(|| cause.downcast_ref::<StorageError>().map(of_storage))
            .or_else(|| cause.downcast_ref::<ConfigError>().map(|_| other(Exit::Usage)))
            .or_else(|| cause.downcast_ref::<std::io::Error>().map(|_| other(Exit::Storage)))
    });
    known.unwrap_or_else(|| Failure::new(Exit::Other, "")).with_message(in_full(error))
}

fn of_server(error: &ServerError) -> Failure {
    match error {
        ServerError::Catalog(error) => of_catalog(error),
        ServerError::Storage(error) => of_storage(error),
        ServerError::Config(_) | ServerError::Password(_) => Failure::new(Exit::Usage, ""),
        _ => Failure::new(Exit::Other, ""),
    }
}

fn of_catalog(error: &catalog::Error) -> Failure {
    match Code::of_catalog(error) {
        Ok(code) => {
            Failure::new(Exit::for_status(code.status().as_u16()), "").with_code(code.as_str())
        }
        Err(storage) => of_storage(storage),
    }
}

fn of_storage(error: &StorageError) -> Failure {
    let exit = match error {
        StorageError::NoRoom(_)
        | StorageError::SpaceReserved { .. }
        | StorageError::File { .. } => Exit::Storage,
        StorageError::Unavailable(_) | StorageError::Frozen(_) => Exit::Unreachable,
        StorageError::Store(_) if error.is_temporary() => Exit::Unreachable,
        _ => Exit::Other,
    };
    Failure::new(exit, "")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_script_can_tell_the_failures_apart() {
        let away = || StorageError::Unavailable("x".to_owned());
        let absent = catalog::Error::AccountNotFound;
        for (error, exit) in [
            (anyhow::Error::from(absent), Exit::NotFound),
            (anyhow::Error::from(catalog::Error::Storage(away())), Exit::Unreachable),
            (anyhow::Error::from(ServerError::Storage(away())), Exit::Unreachable),
            (anyhow::Error::from(ConfigError::new("x")), Exit::Usage),
            (anyhow::anyhow!("x"), Exit::Other),
        ] {
            let found = failure(&Err::<(), _>(error).context("the catalog").unwrap_err());
            assert_eq!(found.exit(), exit, "{found}");
        }
    }
}
