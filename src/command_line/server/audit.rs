//! `imagedepot audit`: whether the record of changes still is what was written, and a copy of it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::data::DataArgs;
use crate::api::audit::AuditEntry;
use crate::catalog::Catalog;

/// Rows to write with one question to the database.
const PAGE: i64 = 1000;

/// What is to be done.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find rows that were altered, removed or moved; ends with 1 where there are any
    Verify {
        /// SEQUENCE:HASH as an earlier verify or export told it, kept where the catalog's owner cannot write
        #[arg(long, value_name = "SEQUENCE:HASH")]
        known: Option<String>,
    },
    /// Write all rows as JSON lines to standard output, the oldest first
    Export {
        /// Only rows after this one
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: i64,
    },
}

pub async fn run(args: AuditArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let catalog = args.data.open_catalog(file).await?;
    let done = match args.action {
        Action::Verify { known } => verify(&catalog, known.as_deref()).await,
        Action::Export { after } => export(&catalog, after).await.map(|()| ExitCode::SUCCESS),
    };
    catalog.close().await;
    done
}

async fn verify(catalog: &Catalog, known: Option<&str>) -> anyhow::Result<ExitCode> {
    let verified = catalog.verify_audit().await?;
    for finding in &verified.findings {
        println!("{finding}");
    }
    if verified.found > verified.findings.len() {
        println!("and {} more", verified.found - verified.findings.len());
    }
    let known_is_there = match known {
        Some(known) => is_in_chain(catalog, known).await?,
        None => true,
    };
    if !known_is_there {
        println!("the row that --known names is not in the chain: it was written anew");
    }
    println!(
        "{} rows; the newest is {}:{}",
        verified.rows, verified.newest.sequence, verified.newest.hash
    );
    let sound = verified.found == 0 && known_is_there;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn is_in_chain(catalog: &Catalog, known: &str) -> anyhow::Result<bool> {
    let parts = known.split_once(':').and_then(|(at, hash)| Some((at.parse::<i64>().ok()?, hash)));
    let is_whole =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((sequence, hash)) = parts.filter(|(at, hash)| *at > 0 && is_whole(hash)) else {
        bail!("--known is SEQUENCE:HASH, as `audit verify` prints it");
    };
    let rows = catalog.audit_chain(sequence - 1, 1).await?;
    Ok(rows
        .first()
        .is_some_and(|row| row.sequence == Some(sequence) && row.hash.as_deref() == Some(hash)))
}

async fn export(catalog: &Catalog, mut after: i64) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    loop {
        let page = catalog.audit_chain(after, PAGE).await?;
        let Some(last) = page.last().and_then(|row| row.sequence) else {
            return Ok(output.flush()?);
        };
        after = last;
        for row in page {
            serde_json::to_writer(&mut output, &AuditEntry::from(row))?;
            output.write_all(b"\n")?;
        }
    }
}
