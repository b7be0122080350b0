//! `imagedepot audit`: whether the record of changes still is what was written, a copy of it, and its oldest rows' end.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::data::DataArgs;
use crate::api::audit::AuditEntry;
use crate::catalog::audit::chain::Verified;
use crate::catalog::{Actor, Catalog};
use crate::client::terminal::plain;

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
    /// Remove the oldest rows; the others stay a chain that can be verified
    Prune(PruneArgs),
}

/// Which rows go.
#[derive(Debug, Args)]
struct PruneArgs {
    /// Rows that were written before this time, as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", required_unless_present = "keep", conflicts_with = "keep")]
    before: Option<DateTime<Utc>>,
    /// Rows that are older, as 400days
    #[arg(long, value_name = "DURATION", value_parser = humantime_serde::re::humantime::parse_duration)]
    keep: Option<Duration>,
    /// Say how many rows would go, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: AuditArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let catalog = args.data.open_catalog(file).await?;
    let done = match args.action {
        Action::Verify { known } => verify(&catalog, known.as_deref()).await,
        Action::Export { after } => export(&catalog, after).await.map(|()| ExitCode::SUCCESS),
        Action::Prune(which) => prune(&catalog, &which).await.map(|()| ExitCode::SUCCESS),
    };
    catalog.close().await;
    done
}

async fn verify(catalog: &Catalog, known: Option<&str>) -> anyhow::Result<ExitCode> {
    let verified = catalog.verify_audit().await?;
    for finding in &verified.findings {
        println!("{}", plain(&finding.to_string()));
    }
    if verified.found > verified.findings.len() {
        println!("and {} more", verified.found - verified.findings.len());
    }
    let known_is_there = match known {
        Some(known) => is_in_chain(catalog, known, &verified).await?,
        None => true,
    };
    let anchor = &verified.anchor;
    if anchor.sequence > 0 {
        println!(
            "begins at its anchor {}:{}: the rows up to it were pruned",
            anchor.sequence, anchor.hash
        );
    }
    println!(
        "{} rows; the newest is {}:{}",
        verified.rows, verified.newest.sequence, verified.newest.hash
    );
    let sound = verified.found == 0 && known_is_there;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says why it is not. One that was pruned proves nothing, so neither is it: behind a forged anchor everything could be.
async fn is_in_chain(catalog: &Catalog, known: &str, verified: &Verified) -> anyhow::Result<bool> {
    let parts = known.split_once(':').and_then(|(at, hash)| Some((at.parse::<i64>().ok()?, hash)));
    let is_whole =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((sequence, hash)) = parts.filter(|(at, hash)| *at > 0 && is_whole(hash)) else {
        bail!("--known is SEQUENCE:HASH, as `audit verify` prints it");
    };
    let anchor = &verified.anchor;
    if sequence < anchor.sequence {
        println!(
            "the row that --known names was pruned, with all up to {}: it tells nothing any more, note the newest anew",
            anchor.sequence
        );
        return Ok(false);
    }
    let is_there = if sequence == anchor.sequence {
        anchor.hash == hash
    } else {
        let rows = catalog.audit_chain(sequence - 1, 1).await?;
        rows.first()
            .is_some_and(|row| row.sequence == Some(sequence) && row.hash.as_deref() == Some(hash))
    };
    if !is_there {
        println!("the row that --known names is not in the chain: it was written anew");
    }
    Ok(is_there)
}

async fn prune(catalog: &Catalog, which: &PruneArgs) -> anyhow::Result<()> {
    let keep = which.keep.map(TimeDelta::from_std).transpose()?;
    let long_ago = keep.and_then(|keep| catalog.clock().now().checked_sub_signed(keep));
    let Some(before) = which.before.or(long_ago) else {
        bail!("--keep reaches back further than time does");
    };
    if which.dry_run {
        let pruned = catalog.prunable_audit_rows(before).await?;
        println!("{} rows would go, up to {}", pruned.rows, pruned.anchor.sequence);
        return Ok(());
    }
    let pruned = catalog.prune_audit(&Actor::system("command-line"), before).await?;
    println!("{} rows went; the record begins behind row {}", pruned.rows, pruned.anchor.sequence);
    Ok(())
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
