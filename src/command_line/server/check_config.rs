//! `imagedepot check-config`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, DEFAULT_DATA, EXAMPLE};
use crate::{server, telemetry};

/// What is to be checked.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print a file of settings with every key and its default
    #[arg(long)]
    example: bool,
    /// Folder of the data, for what the settings leave open
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

pub fn run(args: &CheckConfigArgs, file: Option<&Path>) -> anyhow::Result<()> {
    if args.example {
        print!("{EXAMPLE}");
        return Ok(());
    }
    let config = Config::read(file)?.complete(&args.data, None)?;
    server::check(&config)?;
    telemetry::filter(&config.log)?;
    println!("the settings are sound");
    for listener in &config.listener {
        let scheme = if listener.certificate.is_some() { "https" } else { "http" };
        println!("  listens on {scheme}://{}", listener.address);
    }
    Ok(())
}
