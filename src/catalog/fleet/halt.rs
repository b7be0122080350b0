//! The halt of a rollout by the failures that clients report.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::channel::locked_channel;
use crate::catalog::image::locked_image;
use crate::catalog::{Actor, Catalog, Result};
use crate::model::promotion::ReportedFailure;
use crate::model::rollout::HaltRule;
use crate::model::{ChannelName, Halted, ImageName, Promotion};
use crate::storage::{Change, Tx};

/// The number of clients that a halt names.
const NAMED_FAILURES: i64 = 10;

/// A promotion on which something was reported that counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Affected {
    pub(super) image: ImageName,
    pub(super) channel: ChannelName,
    pub(super) promotion: Uuid,
}

/// The audit's record of a halt.
#[derive(Serialize)]
struct Recorded<'a> {
    revision: i64,
    epoch: i64,
    halted: &'a Halted,
    rule: HaltRule,
}

impl Catalog {
    /// Halts the rollouts of which too many clients failed. Returns whether any was halted.
    pub(super) async fn halt_where_too_many_failed(
        &self,
        tx: &mut Tx,
        affected: impl IntoIterator<Item = Affected>,
    ) -> Result<bool> {
        let mut has_halted = false;
        for affected in affected {
            has_halted |= self.halt_if_too_many_failed(tx, &affected).await?;
        }
        Ok(has_halted)
    }

    async fn halt_if_too_many_failed(&self, tx: &mut Tx, affected: &Affected) -> Result<bool> {
        let image = locked_image(tx, &affected.image).await?;
        let channel = locked_channel(tx, &affected.channel).await?;
        let Some(mut promotion) = tx.assigned(image.id, channel.id).await? else {
            return Ok(false);
        };
        let Some(rule) = promotion.terms.rollout.halt else { return Ok(false) };
        if promotion.id != affected.promotion || promotion.progress.halted.is_some() {
            return Ok(false);
        }
        let now = self.clock.now();
        let Some(halted) = too_many_failures(tx, &promotion, rule, now).await? else {
            return Ok(false);
        };
        let actor = Actor::system("reports");
        let entry = Entry {
            action: "channel.halt",
            subject: format!("images/{}/channels/{}", image.name, channel.name),
            actor: &actor,
        };
        let recorded = Recorded {
            revision: promotion.revision,
            epoch: promotion.epoch,
            halted: &halted,
            rule,
        };
        self.audit(tx, entry, NOTHING, Some(&recorded));
        promotion.progress.halted = Some(halted);
        promotion.progress.changes += 1;
        tx.update_rollout(&promotion).await?;
        tx.raise_channel_sequence(channel.id, now).await?;
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        tracing::warn!(
            image = %image.name, channel = %channel.name, revision = promotion.revision,
            "reports of failures have halted the rollout"
        );
        Ok(true)
    }
}

/// Returns the halt if the counted reports fulfil the rule.
async fn too_many_failures(
    tx: &mut Tx,
    promotion: &Promotion,
    rule: HaltRule,
    now: DateTime<Utc>,
) -> Result<Option<Halted>> {
    let since = promotion.progress.reports_since.unwrap_or(DateTime::UNIX_EPOCH);
    let counted = tx.counted_ends(promotion.id, since).await?;
    let (ended, failed) = (counted.ended.unsigned_abs(), counted.failed.unsigned_abs());
    let are_enough = ended >= u64::from(rule.at_least.get());
    if !are_enough || !rule.failures_percent.is_exceeded_by(failed, ended) {
        return Ok(None);
    }
    let failures = tx.newest_failures(promotion.id, since, NAMED_FAILURES).await?;
    let failures = failures
        .into_iter()
        .map(|report| ReportedFailure { client: report.client, error: report.error })
        .collect();
    Ok(Some(Halted { at: now, by: None, failed: Some(failed), ended: Some(ended), failures }))
}
