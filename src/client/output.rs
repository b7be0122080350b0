//! What a command says on standard output: sentences for people or JSON for scripts.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;

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
    ///
    /// `println!` would panic when whoever reads the output is gone; here the job is done by then,
    /// so a closed pipe is no failure.
    pub fn result(self, sentence: &str, document: &serde_json::Value) -> Result<(), Failure> {
        match self {
            Self::Text => write_line(&plain(sentence)),
            Self::Json => write_line(&plain_json(document)),
        }
    }

    /// Scripts read of a failure where they would have read of success; people read standard error.
    pub fn unless_failed(self, done: Result<(), Failure>) -> Result<(), Failure> {
        if let (Self::Json, Err(failure)) = (self, &done) {
            let document = json!({ "error": {
                "message": failure.to_string(), "code": failure.code(), "exit_code": u8::from(failure.exit()),
            }});
            write_line(&plain_json(&document))?;
        }
        done
    }
}

fn write_line(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::local("write to", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}
