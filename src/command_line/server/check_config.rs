//! `imagedepot check-config`: reports all mistakes in the settings with their places. `openable` checks what they name.

mod openable;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::client::folder::folder;
use crate::client::output::{Output, say};
use crate::config::{Config, ConfigError, DEFAULT_DATA, EXAMPLE, Listener};

/// The arguments of `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print an example settings file with every key and its default, and check nothing
    #[arg(long)]
    example: bool,
    /// Data folder; contains everything for which the settings name no other place
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_parser = folder())]
    data: PathBuf,
    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

pub fn run(args: &CheckConfigArgs, file: Option<&Path>) -> anyhow::Result<()> {
    if args.example {
        return Ok(say(EXAMPLE.trim_end())?);
    }
    let config = Config::read(file)?.complete(&args.data, None)?;
    let mistakes = openable::mistakes(&config, &args.data);
    if !mistakes.is_empty() {
        let located = mistakes.iter().map(|mistake| config.locate(mistake));
        return Err(ConfigError::all(located).into());
    }
    let urls: Vec<_> = config.listener.iter().map(url).collect();
    let message = "the settings are valid".to_owned();
    let listens = urls.iter().map(|url| format!("  listens on {url}"));
    let lines: Vec<_> = [message].into_iter().chain(listens).collect();
    Ok(args.output.result(&lines.join("\n"), &json!({"sound": true, "listeners": urls}))?)
}

fn url(listener: &Listener) -> String {
    let scheme = if listener.certificate.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", listener.address)
}
