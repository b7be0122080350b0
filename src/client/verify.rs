//! `imagedepot verify`: checks that a pre-staging kit is still as it was laid out, wherever it was copied to. A tree that
//! is served somewhere is checked by `trust::check`.
//!
//! It needs nothing but the folder: `SHA256SUMS` lists what belongs in it. Every finding is one line; intact files are
//! not mentioned. It repairs nothing: `prestage` into the same folder does that.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::credentials::ServerArgs;
use super::digest;
use super::error::Failure;
use super::exit_code::Exit;
use super::files_below::look_below;
use super::output::Output;
use super::progress::Progress;
use super::trust::check;
use crate::file_system;
use crate::model::Digest;
use crate::prestage::{IMAGES, PRESTAGED, sums};

/// The largest size of the list, in bytes. A kit has a handful of files.
const LARGEST_LIST: u64 = 1 << 20;

/// Check a pre-staging kit: nothing missing, changed, writable or added; or a tree by its signatures
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  the kit is as it was laid out, or the tree as it was signed
  2  the command line is wrong, or the root to trust is none
  3  the tree cannot be reached
  4  refused: the credentials are wrong or not sufficient
  5  there is no signed tree at this address
  7  it is not: each missing, extra, changed, writable, unpaired or unreadable file is reported on a line, and a tree that
     cannot be believed with the reason
  8  the folder or the root cannot be read")]
pub struct Args {
    /// Folder of the kit, which contains SHA256SUMS, or with --trust the address of a tree
    #[arg(value_name = "DIR|URL")]
    pub place: PathBuf,

    /// Check the tree at the address, with this root of trust (root.json)
    #[arg(long, value_name = "ROOT")]
    pub trust: Option<PathBuf>,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The file is listed but not there.
    Missing,
    /// The file is there but not listed.
    Extra,
    /// The file's bytes have another digest.
    Changed,
    /// The mode allows writing.
    Writable,
    /// A CKM without its index, or an index without its CKM.
    Unpaired,
    /// The file cannot be read, or is not a regular file or folder.
    Unreadable,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    finding: Kind,
    path: String,
    detail: String,
}

/// The result of a check.
#[derive(Debug, Default)]
struct Report {
    files: usize,
    bytes: u64,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, finding: Kind, path: &str, detail: impl Into<String>) {
        self.findings.push(Finding { finding, path: path.to_owned(), detail: detail.into() });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finding, path, detail } = self;
        let word = format!("{finding:?}").to_lowercase();
        write!(f, "{word:<10} {path}: {detail}")
    }
}

/// Checks the kit and prints the findings on standard output. Fails with `Verification` if there are any.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    if let Some(root) = &args.trust {
        let address = args.place.to_string_lossy();
        return check::run(&args.server, &address, root, output).await;
    }
    let folder = args.place.clone();
    let progress = Progress::for_output(output);
    let looking = tokio::task::spawn_blocking(move || look(&args.place, &progress)).await;
    let report = match looking.map_err(|error| Failure::lost_task(&error)).flatten() {
        Ok(report) => report,
        Err(failure) => return output.unless_failed(Err(failure)),
    };
    output.result(&text(&report, &folder), &document(&report, &folder))?;
    match report.findings.len() {
        0 => Ok(()),
        count => {
            let message = format!(
                "{} differs from the kit that was laid out: {count} findings",
                folder.display()
            );
            Err(Failure::new(Exit::Verification, message))
        }
    }
}

fn look(folder: &Path, progress: &Progress) -> Result<Report, Failure> {
    let below = look_below(folder).map_err(|error| Failure::local("read", folder, &error))?;
    let there = below.files;
    let mut report = Report::default();
    for (path, error) in below.unreadable {
        report.add(Kind::Unreadable, &path, error.to_string());
    }
    let listed = listed(folder, &mut report);
    for (path, digest) in &listed {
        if there.contains(path) {
            look_at(folder, path, *digest, progress, &mut report);
        } else {
            report.add(Kind::Missing, path, format!("{} lists it", sums::NAME));
        }
    }
    for path in there.iter().filter(|path| *path != sums::NAME) {
        if !listed.iter().any(|(known, _)| known == path) {
            report.add(Kind::Extra, path, format!("{} does not list it", sums::NAME));
        }
    }
    for path in [IMAGES.to_owned(), format!("{IMAGES}/{PRESTAGED}")] {
        if let Ok(about) = fs::symlink_metadata(folder.join(&path)) {
            look_at_mode(&path, &about, 0o022, &mut report);
        }
    }
    find_unpaired(&there, &listed, &mut report);
    Ok(report)
}

/// Reads the list in `SHA256SUMS`. If it is not one that `prestage` writes, the list is empty and there is a finding.
fn listed(folder: &Path, report: &mut Report) -> Vec<(String, Digest)> {
    let path = folder.join(sums::NAME);
    let read = || {
        let bytes = file_system::read(&path, LARGEST_LIST)?;
        Ok::<_, io::Error>((fs::symlink_metadata(&path)?, bytes))
    };
    match read() {
        Ok((about, bytes)) => {
            look_at_mode(sums::NAME, &about, 0o222, report);
            sums::read(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|unfit| {
                report.add(Kind::Changed, sums::NAME, unfit.to_string());
                Vec::new()
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.add(
                Kind::Missing,
                sums::NAME,
                "the kit is unfinished, or this folder is not a kit",
            );
            Vec::new()
        }
        Err(error) => {
            report.add(Kind::Unreadable, sums::NAME, error.to_string());
            Vec::new()
        }
    }
}

fn look_at(folder: &Path, path: &str, expected: Digest, progress: &Progress, report: &mut Report) {
    let place = folder.join(path);
    let read = || {
        let file = file_system::open(&place)?;
        let about = file.metadata()?;
        let bar = progress.file(path, about.len());
        let digest = digest::of(&mut bar.wrap_read(file))?;
        bar.finish_and_clear();
        Ok::<_, io::Error>((about, digest))
    };
    match read() {
        Err(error) => report.add(Kind::Unreadable, path, error.to_string()),
        Ok((about, digest)) => {
            report.files += 1;
            report.bytes += about.len();
            if digest != expected {
                report.add(Kind::Changed, path, format!("its digest is {digest}"));
            }
            look_at_mode(path, &about, 0o222, report);
        }
    }
}

/// Checks a mode. The caller does not follow links, and opens nothing that might block.
fn look_at_mode(path: &str, about: &Metadata, nobody_may: u32, report: &mut Report) {
    let mode = about.permissions().mode() & 0o777;
    if mode & nobody_may != 0 {
        report.add(Kind::Writable, path, format!("its mode is {mode:o}"));
    }
}

/// Finds a CKM or an index without its counterpart. The list does not show this if it was made from a revision that
/// lacks one of the two, or if the list is missing.
fn find_unpaired(there: &[String], listed: &[(String, Digest)], report: &mut Report) {
    let known = |path: &str| listed.iter().any(|(known, _)| known == path);
    let is_there = |path: &str| there.iter().any(|other| other == path);
    for path in there {
        if let Some(indexes) = sums::indexes_of(path) {
            if !indexes.iter().any(|index| is_there(index) || known(index)) {
                report.add(Kind::Unpaired, path, "its index is missing");
            }
        } else if sums::is_index(path) {
            let is_of =
                |ckm: &String| sums::indexes_of(ckm).is_some_and(|indexes| indexes.contains(path));
            let listed = listed.iter().map(|(path, _)| path);
            if !there.iter().chain(listed).any(is_of) {
                report.add(Kind::Unpaired, path, "its CKM is missing");
            }
        }
    }
}

fn text(report: &Report, folder: &Path) -> String {
    if report.findings.is_empty() {
        let (files, bytes) = (report.files, indicatif::BinaryBytes(report.bytes));
        return format!(
            "{} is intact: {files} files, {bytes}, all as they were laid out",
            folder.display()
        );
    }
    report.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn document(report: &Report, folder: &Path) -> serde_json::Value {
    json!({
        "path": folder,
        "sound": report.findings.is_empty(),
        "files": report.files,
        "bytes": report.bytes,
        "findings": report.findings,
    })
}
