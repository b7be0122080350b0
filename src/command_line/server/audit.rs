//! `imagedepot audit`: lists, verifies and exports the record of changes, over HTTP or directly in the catalog, and
//! removes its oldest rows, in the catalog only.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::place::{Place, PlaceArgs, catalog_only};
use crate::api::audit::AuditEntry;
use crate::catalog::audit::chain::Verified;
use crate::catalog::{Actor, Catalog};
use crate::client::Failure;
use crate::client::daily::audit::{self as daily, COLUMNS, FilterArgs, Verdict};
use crate::client::daily::moment::Moment;
use crate::client::output::{Output, Stream};
use crate::storage::AuditFilter;

/// The rows to fetch from the database with one query.
const PAGE: i64 = 1000;

/// The arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    #[command(flatten)]
    Daily(daily::Action),
    /// Remove the oldest rows; the remaining ones are still a chain that can be verified; works on the catalog only
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
    let output = args.place.output;
    match (args.place.place(file)?, args.action) {
        (Place::Server(connection), Action::Daily(action)) => {
            Ok(match daily::act(&connection, action, output).await? {
                Verdict::Sound => ExitCode::SUCCESS,
                Verdict::NotSound => ExitCode::FAILURE,
            })
        }
        (Place::Server(_), Action::Prune(_)) => Err(catalog_only("audit prune").into()),
        (Place::Catalog(data), action) => {
            let catalog = data.open_catalog(file).await?;
            let done = act(&catalog, action, output).await;
            catalog.close().await;
            done
        }
    }
}

async fn act(catalog: &Catalog, action: Action, output: Output) -> anyhow::Result<ExitCode> {
    match action {
        Action::Daily(daily::Action::List(filter)) => list(catalog, filter, output).await?,
        Action::Daily(daily::Action::Verify { known }) => {
            return verify(catalog, known.as_deref(), output).await;
        }
        Action::Daily(daily::Action::Export { after }) => export(catalog, after).await?,
        Action::Prune(which) => prune(catalog, &which, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the newest rows that the filter covers.
async fn list(catalog: &Catalog, filter: FilterArgs, output: Output) -> anyhow::Result<()> {
    let limit = filter.length.limit.and_then(|limit| i64::try_from(limit).ok());
    let filter = AuditFilter {
        since: time_of(filter.since.as_ref())?,
        until: time_of(filter.until.as_ref())?,
        caller: filter.caller,
        subject: filter.subject,
        action: filter.action,
    };
    let rows = catalog.audit_rows(None, &filter, limit.unwrap_or(i64::MAX)).await?;
    let rows = rows.into_iter().map(|row| serde_json::to_value(AuditEntry::from(row)));
    Ok(output.list(COLUMNS, &rows.collect::<Result<Vec<_>, _>>()?)?)
}

/// Returns the time that an argument names.
fn time_of(moment: Option<&Moment>) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(text) = moment.map(Moment::as_str) else { return Ok(None) };
    let no_time = |_| Failure::usage(format!("there is no time {text}"));
    text.parse().map(Some).map_err(no_time)
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
