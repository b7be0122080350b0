//! `imagedepot agent status`: what the agent of this machine has, and what it did last. It reads files alone, and works
//! beside a running agent.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::layout::Layout;
use super::record::{Record, path_in};
use super::settings_file;
use crate::client::cell;
use crate::client::credentials::ServerArgs;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;
use crate::client::folder::folder;
use crate::client::output::Output;
use crate::client::table::Column;

/// Show what the agent of this machine has and did last
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Folder of the images
    #[arg(long, value_name = "DIR", value_parser = folder())]
    to: Option<PathBuf>,

    /// Settings of the agent, which name the folder
    #[arg(id = "config", long, value_name = "FILE", conflicts_with = "to")]
    config: Option<PathBuf>,

    /// A table for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

const COLUMNS: [Column; 6] = [
    Column::text("image", |image| cell::text(&image["image"])),
    Column::text("channel", |image| cell::text(&image["channel"])),
    Column::number("in use", |image| cell::text(&image["revision"])),
    Column::text("doing", |image| cell::text(&image["doing"])),
    Column::text("checked", |image| cell::text(&image["checked_at"])),
    Column::text("told", |image| cell::text(&image["told"])),
];

pub fn run(args: &Args) -> Result<(), Failure> {
    let folders = match (&args.to, &args.config) {
        (Some(folder), _) => folders_in(folder)?,
        (None, Some(file)) => {
            let images = settings_file::read(file, &mut ServerArgs::default())?.images;
            images.into_iter().map(|image| image.folder).collect()
        }
        (None, None) => return Err(Failure::usage("name the folder of the images: --to DIR")),
    };
    let items = images_of(folders)?;
    if items.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no agent has kept an image there yet"));
    }
    args.output.list(&COLUMNS, &items)
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::local("read", folder, &error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn images_of(folders: Vec<PathBuf>) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    for path in folders {
        let record = path_in(&path);
        match fs::read(&record) {
            Ok(bytes) => {
                items.push(match serde_json::from_slice::<Record>(&bytes) {
                    Ok(known) => document(&path, &known),
                    Err(error) => {
                        let error = format!("{}: {error}", record.display());
                        json!({"image": path.file_name().map(|name| name.to_string_lossy()),
                            "told": error, "error": error})
                    }
                });
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(Failure::local("read", &record, &error)),
        }
    }
    items.sort_by(|one, other| one["image"].as_str().cmp(&other["image"].as_str()));
    Ok(items)
}

/// Other files and folders may lie there, too.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn doing(layout: &Layout, record: &Record) -> String {
    if let Some(change) = &record.change {
        return format!("changing to revision {}", change.to);
    }
    if let Some(why) = &record.waits_for {
        return format!("waits for {why}");
    }
    if let Some((revision, bytes)) = layout.arriving() {
        let bytes = indicatif::BinaryBytes(bytes);
        return format!("fetching revision {revision}, of which {bytes} are here");
    }
    match (record.reports.first(), &record.report_refused) {
        (Some(_), Some(why)) => format!("has a report to send: {why}"),
        (Some(_), None) => "has a report to send".to_owned(),
        (None, _) => "nothing".to_owned(),
    }
}

fn document(folder: &Path, record: &Record) -> Value {
    let layout = Layout::at(folder);
    let doing = doing(&layout, record);
    let check = record.last_check.as_ref();
    let error = check.and_then(|check| check.error.clone());
    json!({
        "image": record.image,
        "channel": record.channel,
        "revision": layout.current(),
        "revisions": layout.revisions(),
        "path": layout.root().join("current"),
        "doing": doing,
        "checked_at": check.map(|check| &check.at),
        "told": check.and_then(|check| check.answer.clone()).or_else(|| error.clone()),
        "error": error,
        "last_failure": record.last_failure,
    })
}
