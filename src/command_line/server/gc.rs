//! `imagedepot gc`: applies retention and collects garbage, directly in the catalog, also while servers run on it.

use std::path::Path;

use bytesize::ByteSize;
use clap::Args;

use super::data::DataArgs;
use crate::api::garbage::CollectedBody;
use crate::catalog::Execution;
use crate::upkeep::garbage::{Amount, Collected, CollectionOrder};

/// The arguments of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Report what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove bytes now that would otherwise be kept for `store.safety_age`
    #[arg(long)]
    immediately: bool,
    /// Continue even if the catalog does not know most of what the store holds
    #[arg(long)]
    accept_orphans: bool,
}

pub async fn run(args: GcArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let catalog = args.data.open_catalog(file).await?;
    let order = CollectionOrder {
        execution: if args.dry_run { Execution::DryRun } else { Execution::Real },
        immediately: args.immediately,
        accept_orphans: args.accept_orphans,
    };
    let collected = catalog.collect(order).await;
    catalog.close().await;
    let collected = collected?;
    let sentence = sentence(&collected, order.execution);
    let document = serde_json::to_value(CollectedBody::new(collected, order.execution))?;
    Ok(args.data.output.result(&sentence, &document)?)
}

fn sentence(collected: &Collected, execution: Execution) -> String {
    let mut lines: Vec<String> = collected
        .expired
        .iter()
        .map(|surplus| {
            let size = ByteSize::b(surplus.bytes);
            format!("{} revision {}: {size}, beyond keep_revisions", surplus.image, surplus.number)
        })
        .collect();
    let amount = |amount: Amount| format!("{} blobs, {}", amount.blobs, ByteSize::b(amount.bytes));
    let removed = if execution.is_dry_run() { "would be removed" } else { "removed" };
    lines.push(format!("unknown to the catalog: {}", amount(collected.orphans)));
    lines.push(format!("{removed}: {}", amount(collected.removed)));
    lines.push(format!("waiting for removal: {}", amount(collected.waiting)));
    lines.join("\n")
}
