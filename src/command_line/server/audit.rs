//! `imagedepot audit`: verifies the record of changes, exports it, and removes its oldest rows.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::data::DataArgs;
use crate::api::audit::AuditEntry;
use crate::catalog::audit::chain::Verified;
use crate::catalog::{Actor, Catalog};
use crate::client::output::{Output, Stream};

/// The rows to fetch from the database with one query.
const PAGE: i64 = 1000;

/// The arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find rows that were altered, removed or moved; the exit code is 1 if there are any
    Verify {
        /// Row of an earlier verify or export that must still be in the record; keep it where the catalog's owner
        /// cannot write
        #[arg(long, value_name = "SEQUENCE:HASH")]
        known: Option<String>,
    },
    /// Write all rows to standard output as JSON lines, the oldest first
    Export {
        /// Write only the rows after this one
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: i64,
    },
    /// Remove the oldest rows; the remaining ones are still a chain that can be verified
    Prune(PruneArgs),
}

/// The arguments of `audit prune`: the rows to remove.
#[derive(Debug, Args)]
struct PruneArgs {
    /// Remove rows that were written before this time, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", required_unless_present = "keep", conflicts_with = "keep")]
    before: Option<DateTime<Utc>>,
    /// Remove rows that are older than this, such as 400days
    #[arg(long, value_name = "DURATION", value_parser = humantime_serde::re::humantime::parse_duration)]
    keep: Option<Duration>,
    /// Report how many rows would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: AuditArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let output = args.data.output;
    let catalog = args.data.open_catalog(file).await?;
    let done = match args.action {
        Action::Verify { known } => verify(&catalog, known.as_deref(), output).await,
        Action::Export { after } => export(&catalog, after).await.map(|()| ExitCode::SUCCESS),
        Action::Prune(which) => prune(&catalog, &which, output).await.map(|()| ExitCode::SUCCESS),
    };
    catalog.close().await;
    done
}

async fn verify(
    catalog: &Catalog,
    known: Option<&str>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let verified = catalog.verify_audit().await?;
    let mut lines: Vec<_> = verified.findings.iter().map(ToString::to_string).collect();
    let (findings, found) = (lines.clone(), verified.found);
    if found > findings.len() {
        lines.push(format!("and {} more", found - findings.len()));
    }
    let why_not = match known {
        Some(known) => why_not_in_chain(catalog, known, &verified).await?,
        None => None,
    };
    lines.extend(why_not.clone());
    let (anchor, newest, rows) = (&verified.anchor, &verified.newest, verified.rows);
    if anchor.sequence > 0 {
        lines.push(format!(
            "the record begins after its anchor {}:{}: the rows up to the anchor were pruned",
            anchor.sequence, anchor.hash
        ));
    }
    lines.push(format!("{rows} rows; the newest is {}:{}", newest.sequence, newest.hash));
    let is_sound = found == 0 && why_not.is_none();
    let document = json!({
        "sound": is_sound, "rows": rows, "found": found, "findings": findings, "known": why_not,
        "anchor": { "sequence": anchor.sequence, "hash": anchor.hash },
        "newest": { "sequence": newest.sequence, "hash": newest.hash },
    });
    output.result(&lines.join("\n"), &document)?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the reason why a known row is not in the chain, or none if it is there. A pruned row counts as not there,
/// because it proves nothing: any rows could follow a forged anchor.
async fn why_not_in_chain(
    catalog: &Catalog,
    known: &str,
    verified: &Verified,
) -> anyhow::Result<Option<String>> {
    let parts = known.split_once(':').and_then(|(at, hash)| Some((at.parse::<i64>().ok()?, hash)));
    let is_whole =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((sequence, hash)) = parts.filter(|(at, hash)| *at > 0 && is_whole(hash)) else {
        bail!("--known must be SEQUENCE:HASH, as `audit verify` prints it");
    };
    let anchor = &verified.anchor;
    if sequence < anchor.sequence {
        return Ok(Some(format!(
            "the row of --known was pruned, with all rows up to {}: it proves nothing any more; note the newest row instead",
            anchor.sequence
        )));
    }
    let is_there = if sequence == anchor.sequence {
        anchor.hash == hash
    } else {
        let rows = catalog.audit_chain(sequence - 1, 1).await?;
        rows.first()
            .is_some_and(|row| row.sequence == Some(sequence) && row.hash.as_deref() == Some(hash))
    };
    let why_not = "the row of --known is not in the chain: the record was rewritten";
    Ok((!is_there).then(|| why_not.to_owned()))
}

async fn prune(catalog: &Catalog, which: &PruneArgs, output: Output) -> anyhow::Result<()> {
    let keep = which.keep.map(TimeDelta::from_std).transpose()?;
    let long_ago = keep.and_then(|keep| catalog.clock().now().checked_sub_signed(keep));
    let Some(before) = which.before.or(long_ago) else {
        bail!("--keep is too long: it reaches back before the earliest possible date");
    };
    let pruned = if which.dry_run {
        catalog.prunable_audit_rows(before).await?
    } else {
        catalog.prune_audit(&Actor::system("command-line"), before).await?
    };
    let (rows, last) = (pruned.rows, pruned.anchor.sequence);
    let sentence = if which.dry_run {
        format!("{rows} rows would be deleted, up to row {last}")
    } else {
        format!("{rows} rows were deleted; the record begins after row {last}")
    };
    let document = json!({"rows": rows, "up_to": last, "dry_run": which.dry_run});
    Ok(output.result(&sentence, &document)?)
}

async fn export(catalog: &Catalog, mut after: i64) -> anyhow::Result<()> {
    let mut output = Stream::begin();
    loop {
        let page = catalog.audit_chain(after, PAGE).await?;
        let Some(last) = page.last().and_then(|row| row.sequence) else {
            return Ok(output.end()?);
        };
        after = last;
        for row in page {
            let mut line = serde_json::to_vec(&AuditEntry::from(row))?;
            line.push(b'\n');
            if !output.write(&line)? {
                return Ok(output.end()?);
            }
        }
    }
}
