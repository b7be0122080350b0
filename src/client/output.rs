//! What a command says on standard output: sentences for people or JSON for scripts.

use std::io::{self, Write as _};
use std::path::Path;

use super::error::Failure;
use super::terminal::{plain, plain_json};

/// `--output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Sentences, and progress bars when standard error is a terminal.
    #[default]
    Text,
    /// One JSON object as the last line; no progress bars.
    Json,
}

impl Output {
    /// Writes the result, as the form asked for has it.
    pub fn result(self, sentence: &str, document: &serde_json::Value) -> Result<(), Failure> {
        match self {
            Self::Text => write_line(&plain(sentence)),
            Self::Json => write_line(&plain_json(document)),
        }
    }

    /// Writes one line for each, or `{"items": […]}` as the API's lists have it.
    #[cfg(feature = "server")]
    pub fn list(self, lines: &[String], items: &impl serde::Serialize) -> Result<(), Failure> {
        match self {
            // Nothing to list is no line.
            Self::Text if lines.is_empty() => Ok(()),
            _ => self.result(&lines.join("\n"), &serde_json::json!({ "items": items })),
        }
    }

    /// Scripts read of a failure where they would have read of success; people read standard error.
    pub fn unless_failed(self, done: Result<(), Failure>) -> Result<(), Failure> {
        if let (Self::Json, Err(failure)) = (self, &done) {
            write_line(&plain_json(&failure.problem()))?;
        }
        done
    }
}

/// A line on standard output, as it is.
pub fn say(line: &str) -> Result<(), Failure> {
    write_line(&plain(line))
}

/// Pieces of something long on standard output, for as long as somebody reads.
#[cfg(feature = "server")]
pub struct Stream(io::BufWriter<io::StdoutLock<'static>>);

#[cfg(feature = "server")]
impl Stream {
    pub fn begin() -> Self {
        Self(io::BufWriter::new(io::stdout().lock()))
    }

    /// Whether anybody reads on.
    pub fn write(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        is_read(self.0.write_all(piece))
    }

    pub fn end(mut self) -> Result<(), Failure> {
        let written = is_read(self.0.flush());
        // What is left in it is nobody's: it would be tried once more when this goes.
        let _rest = self.0.into_parts();
        written.map(|_| ())
    }
}

/// A word to the person on standard error. Nobody reads along any more where that fails, and `eprintln!` would panic.
pub fn complain(line: &str) {
    let _unread = writeln!(io::stderr(), "{}", plain(line));
}

/// `println!` would panic when whoever reads the output is gone, as `head` is after ten lines. That is no failure: who asked
/// has what was wanted, and what was to be done is done.
fn write_line(line: &str) -> Result<(), Failure> {
    is_read(writeln!(io::stdout(), "{line}")).map(|_| ())
}

fn is_read(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::local("write to", Path::new("standard output"), &error)),
    }
}
