//! The place that a command on accounts works on: a server, over HTTP, or the catalog itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::data::DataArgs;
use crate::client::folder::folder;
use crate::client::output::Output;
use crate::client::{Connection, Failure, ServerArgs};
use crate::config::DEFAULT_DATA;

const SERVER: &str =
    "The server to work on over HTTP, instead of the catalog [env: IMAGEDEPOT_URL]";

/// The arguments of the commands that work on a server or on the catalog.
#[derive(Debug, Args)]
#[command(mut_arg("server", |server| server.help(SERVER)))]
pub(in crate::command_line) struct PlaceArgs {
    /// Data folder of the catalog, to work on it directly [default: imagedepot-data]
    #[arg(long, global = true, value_name = "DIR", value_parser = folder())]
    data: Option<PathBuf>,
    /// Tables and sentences for people or JSON for scripts
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(super) output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

/// The place to work on.
pub(super) enum Place {
    Server(Box<Connection>),
    Catalog(DataArgs),
}

/// The kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Http,
    Catalog,
}

impl PlaceArgs {
    /// Returns the server of `--server`, the catalog of `--data` or `--config`, or with neither the server of
    /// `IMAGEDEPOT_URL` if it is set, and otherwise the catalog in the default data folder.
    pub(super) fn place(self, config: Option<&Path>) -> Result<Place, Failure> {
        let url = std::env::var_os("IMAGEDEPOT_URL");
        match self.way(config, url.as_deref())? {
            Way::Http => Ok(Place::Server(Box::new(Connection::open(&self.server)?))),
            Way::Catalog => {
                let data = self.data.unwrap_or_else(|| DEFAULT_DATA.into());
                Ok(Place::Catalog(DataArgs { data, output: self.output }))
            }
        }
    }

    fn way(&self, config: Option<&Path>, url: Option<&OsStr>) -> Result<Way, Failure> {
        let is_catalog = self.data.is_some() || config.is_some();
        match (self.server.server.is_some(), is_catalog) {
            (true, true) => Err(Failure::usage(
                "choose one: --server works over HTTP, --data and --config work on the catalog",
            )),
            (true, false) => Ok(Way::Http),
            (false, false) if url.is_some_and(|url| !url.is_empty()) => Ok(Way::Http),
            // Otherwise somebody who forgot the server would change another catalog than the one that was meant.
            _ if self.server.have_credentials() => Err(Failure::usage(
                "credentials are for a server: add --server or IMAGEDEPOT_URL; the catalog needs none",
            )),
            _ => Ok(Way::Catalog),
        }
    }
}

/// Refuses a command that has no operation in the API.
pub(super) fn catalog_only(command: &str) -> Failure {
    Failure::usage(format!(
        "`{command}` works on the catalog only: use --data or --config, on the server's machine"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        place: PlaceArgs,
    }

    fn way(words: &str, config: Option<&str>, url: &str) -> Option<Way> {
        let line = Line::try_parse_from(["test"].into_iter().chain(words.split_whitespace()));
        line.unwrap().place.way(config.map(Path::new), Some(OsStr::new(url))).ok()
    }

    #[test]
    fn flags_win_over_the_environment_and_contradict_each_other() {
        let url = "http://depot.example";
        for (words, config, environment, chosen) in [
            ("", None, "", Some(Way::Catalog)),
            ("", None, url, Some(Way::Http)),
            ("--data x", None, url, Some(Way::Catalog)),
            ("", Some("x.toml"), url, Some(Way::Catalog)),
            ("--server http://other.example", None, url, Some(Way::Http)),
            ("--server http://other.example --data x", None, "", None),
            ("--server http://other.example", Some("x.toml"), "", None),
            ("--user alice", None, url, Some(Way::Http)),
            ("--user alice", None, "", None),
            ("--data x --user alice", None, url, None),
        ] {
            assert_eq!(way(words, config, environment), chosen, "{words} {config:?}");
        }
    }
}
