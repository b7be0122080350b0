//! Writes the result of a command to standard output: sentences and tables for people or JSON for scripts.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::error::Failure;
use super::table::{Column, table};
use super::terminal::{plain, plain_json};

/// The value of `--output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Sentences and tables, and progress bars when standard error is a terminal.
    #[default]
    Text,
    /// One JSON object as the last line; no progress bars.
    Json,
}

impl Output {
    /// Writes the result in the requested format.
    pub fn result(self, sentence: &str, document: &Value) -> Result<(), Failure> {
        match self {
            Self::Text => write_line(&plain(sentence)),
            Self::Json => write_line(&plain_json(document)),
        }
    }

    /// Writes a table of the items, or `{"items": […]}` in the form of the API's lists.
    pub fn list(self, columns: &[Column], items: &[Value]) -> Result<(), Failure> {
        match self {
            // An empty list prints no line at all.
            Self::Text if items.is_empty() => Ok(()),
            Self::Text => write_line(&table(columns, items)),
            Self::Json => write_line(&plain_json(&json!({ "items": items }))),
        }
    }

    /// Writes a failure as JSON to standard output, where scripts would read the result. People read standard error.
    pub fn unless_failed(self, done: Result<(), Failure>) -> Result<(), Failure> {
        if let (Self::Json, Err(failure)) = (self, &done) {
            write_line(&plain_json(&failure.problem()))?;
        }
        done
    }
}

/// Writes one line to standard output.
pub fn say(line: &str) -> Result<(), Failure> {
    write_line(&plain(line))
}

/// Writes a long output to standard output in pieces, for as long as it is read.
pub struct Stream(io::BufWriter<io::StdoutLock<'static>>);

impl Stream {
    pub fn begin() -> Self {
        Self(io::BufWriter::new(io::stdout().lock()))
    }

    /// Writes one piece. Reports whether the output is still read.
    pub fn write(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        is_read(self.0.write_all(piece))
    }

    pub fn end(mut self) -> Result<(), Failure> {
        let written = is_read(self.0.flush());
        // Dropping the writer would try to write the rest once more.
        let _rest = self.0.into_parts();
        written.map(|_| ())
    }
}

/// Writes a line to standard error. A failure is ignored: nobody is reading then, and `eprintln!` would panic.
pub fn complain(line: &str) {
    let _unread = writeln!(io::stderr(), "{}", plain(line));
}

/// Writes a line. `println!` would panic if the reader of the output is gone, as `head` is after ten lines. That is not
/// a failure: the reader has what it wanted, and the work is done.
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
