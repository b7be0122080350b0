//! `imagedepot check-config`: says all that is wrong with the settings, and where. `openable` looks at what they name.

mod openable;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::client::folder::folder;
use crate::client::output::{Output, say};
use crate::config::{Config, ConfigError, DEFAULT_DATA, EXAMPLE, Listener};

/// What is to be checked.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print a file of settings with every key and its default
    #[arg(long)]
    example: bool,
    /// Folder of the data, for what the settings leave open
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
    let sound = "the settings are sound".to_owned();
    let listens = urls.iter().map(|url| format!("  listens on {url}"));
    let lines: Vec<_> = [sound].into_iter().chain(listens).collect();
    Ok(args.output.result(&lines.join("\n"), &json!({"sound": true, "listeners": urls}))?)
}

fn url(listener: &Listener) -> String {
    let scheme = if listener.certificate.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", listener.address)
}
