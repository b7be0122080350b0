//! The work of `imagedepot delta`, which blocks: opens the files, has it done, and puts the result in its place.

use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::locked_file;
use crate::client::progress::Progress;
use crate::delta::chunks::{self, WholeDigest};
use crate::delta::{self, Delta, Error, Input, Next, Place, Unpaced};
use crate::file_system;

/// The work that a command asks for.
#[derive(Debug)]
pub(super) enum Job {
    Make { old: PathBuf, new: PathBuf },
    Apply { old: PathBuf, delta: PathBuf },
    Chunks { file: PathBuf },
}

/// The result, for people and for scripts.
#[derive(Debug)]
pub(super) struct Outcome {
    pub sentence: String,
    pub document: Value,
}

impl Job {
    /// Does the work, and writes its result to this path.
    pub(super) fn run(&self, out: &Path, progress: &Progress) -> Result<Outcome, Failure> {
        match self {
            Self::Make { old, new } => make(old, new, out, progress),
            Self::Apply { old, delta } => apply(old, delta, out, progress),
            Self::Chunks { file } => list(file, out, progress),
        }
    }
}

fn make(old: &Path, new: &Path, out: &Path, progress: &Progress) -> Result<Outcome, Failure> {
    let (base, result) = (open(old)?, open(new)?);
    let part = Part::begin(out, Content::Anew)?;
    let bar = progress.file("delta", 0);
    let inputs = Input::of(&base, Place::Base)
        .and_then(|base| Input::of(&result, Place::Result).map(|result| (base, result)));
    let made = inputs.and_then(|(base, result)| {
        delta::make(&base, &result, &part.file, u64::MAX, &mut pace(&bar))
    });
    let made = part.end(made)?;
    let pieces = made.pieces;
    Ok(Outcome {
        sentence: format!(
            "{} bytes make {} bytes from {}",
            made.size, made.header.result.size, made.header.base.size
        ),
        document: json!({
            "bytes": made.size,
            "base": {"bytes": made.header.base.size, "digest": made.header.base.digest},
            "result": {"bytes": made.header.result.size, "digest": made.header.result.digest},
            "pieces": {"zeros": pieces.zeros, "copy": pieces.copy, "alone": pieces.alone,
                "prefix": pieces.prefix, "recipe": pieces.recipe},
        }),
    })
}

fn apply(old: &Path, delta: &Path, out: &Path, progress: &Progress) -> Result<Outcome, Failure> {
    let (base, file) = (open(old)?, open(delta)?);
    let delta =
        Delta::open(&file, size(&file, delta)?, &mut Unpaced).map_err(|error| failure(&error))?;
    let part = Part::begin(out, Content::GoOn)?;
    let bar = progress.file("result", 0);
    let applied = delta::apply(&base, size(&base, old)?, &delta, &part.file, &mut pace(&bar));
    let applied = part.end(applied)?;
    let result = delta.header().result;
    Ok(Outcome {
        sentence: format!("{} bytes are made, as {}", result.size, result.digest),
        document: json!({
            "bytes": result.size, "digest": result.digest,
            "bytes_kept": applied.kept, "bytes_of_delta": applied.payload,
        }),
    })
}

fn list(path: &Path, out: &Path, progress: &Progress) -> Result<Outcome, Failure> {
    let file = open(path)?;
    let size = size(&file, path)?;
    let part = Part::begin(out, Content::Anew)?;
    let bar = progress.file("chunks", size);
    let to = BufWriter::new(&part.file);
    let made = chunks::make(&file, size, WholeDigest::Compute, to, &mut pace(&bar));
    let made = part.end(made)?;
    let count = made.count;
    Ok(Outcome {
        sentence: format!("{count} chunks of {size} bytes in {} bytes", made.list_size),
        document: json!({
            "bytes": made.list_size, "chunks": count,
            "file": {"bytes": size, "digest": made.digest},
        }),
    })
}

fn open(path: &Path) -> Result<File, Failure> {
    file_system::open_named(path).map_err(|error| Failure::local("read", path, &error))
}

fn size(file: &File, path: &Path) -> Result<u64, Failure> {
    let about = file.metadata().map_err(|error| Failure::local("read", path, &error))?;
    Ok(about.len())
}

fn pace(bar: &ProgressBar) -> impl FnMut(delta::Progress) -> Next {
    move |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        Next::GoOn
    }
}

/// The start of a file that is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Anew,
    /// The bytes of an earlier attempt may be used.
    GoOn,
}

/// A file that is being written, beside its final name.
struct Part<'a> {
    file: File,
    path: PathBuf,
    out: &'a Path,
}

impl<'a> Part<'a> {
    fn begin(out: &'a Path, content: Content) -> Result<Self, Failure> {
        let mut path = out.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let failed = |error| Failure::local("write to", &path, &error);
        let Some(file) = locked_file::open(&options, &path).map_err(failed)? else {
            let message = format!("another process is writing {}", out.display());
            return Err(Failure::new(Exit::Conflict, message));
        };
        if content == Content::Anew {
            file.set_len(0).map_err(failed)?;
        }
        Ok(Self { file, path, out })
    }

    /// Gives the file its name if the work is done. Otherwise what was written stays for the next attempt.
    fn end<T>(self, done: Result<T, Error>) -> Result<T, Failure> {
        let done = done.map_err(|error| failure(&error))?;
        let named = self.file.sync_all().and_then(|()| fs::rename(&self.path, self.out));
        named.map_err(|error| Failure::local("write to", self.out, &error))?;
        Ok(done)
    }
}

/// Gives an error its exit code.
fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Io { .. } => Exit::Storage,
        Error::Damaged { .. }
        | Error::BaseSize { .. }
        | Error::Piece { .. }
        | Error::Result
        | Error::Changed { .. } => Exit::Verification,
        Error::TooLarge { .. } | Error::NotWorthIt | Error::Compression(_) => Exit::Other,
        Error::Canceled => Exit::Interrupted,
    };
    Failure::new(exit, error.to_string())
}
