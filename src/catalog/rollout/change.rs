//! Changes of a rollout: the same promotion goes on, so nobody's place changes.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::settle::settle;
use super::terms::check_terms;
use crate::catalog::audit::Entry;
use crate::catalog::image::locked_image;
use crate::catalog::promotion::{Place, Promoted, promotable_channel, wait_for_approval};
use crate::catalog::{Catalog, ChangeContext, Error, Result};
use crate::model::rollout::{HaltRule, Pace, Window};
use crate::model::{
    Assignment, ChannelName, ClientPattern, Halted, ImageName, Promotion, Rollout, Terms,
};
use crate::storage::{Change, Tx};

/// A change of a rollout and of the other terms. What is none stays as it is; an inner none removes the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutChange {
    pub pace: Option<Pace>,
    pub start: Option<Option<DateTime<Utc>>>,
    pub windows: Option<Vec<Window>>,
    pub canaries: Option<Vec<ClientPattern>>,
    pub paused: Option<bool>,
    pub halt: Option<Option<HaltRule>>,
    /// True stops the rollout, false ends a stop; failures count afresh from then.
    pub halted: Option<bool>,
    pub mandatory: Option<bool>,
    pub deadline: Option<Option<DateTime<Utc>>>,
    pub note: Option<String>,
}

impl RolloutChange {
    /// Reports whether the change only stops the rollout. This is possible on a full disk, too.
    fn only_stops(&self) -> bool {
        let stops = Self { paused: Some(true), ..Self::default() };
        let halts = Self { halted: Some(true), ..Self::default() };
        let bare = Self { note: None, ..self.clone() };
        bare == stops || bare == halts || bare == Self { halted: Some(true), ..stops }
    }

    fn apply(self, terms: &mut Terms) -> Result<()> {
        let before = std::mem::take(&mut terms.rollout);
        terms.rollout = Rollout {
            pace: self.pace.unwrap_or(before.pace),
            start: self.start.unwrap_or(before.start),
            windows: self.windows.unwrap_or(before.windows),
            canaries: self.canaries.unwrap_or(before.canaries),
            paused: self.paused.unwrap_or(before.paused),
            halt: self.halt.unwrap_or(before.halt),
        }
        .check()?;
        let clients = &mut terms.for_clients;
        clients.mandatory = self.mandatory.unwrap_or(clients.mandatory);
        clients.deadline = self.deadline.unwrap_or(clients.deadline);
        if let Some(note) = self.note {
            terms.note = note;
        }
        check_terms(terms)
    }
}

/// The audit's record of a rollout.
#[derive(Serialize)]
struct Recorded<'a> {
    revision: i64,
    epoch: i64,
    #[serde(flatten)]
    terms: &'a Terms,
    halted: Option<&'a Halted>,
}

impl<'a> Recorded<'a> {
    fn of(promotion: &'a Promotion) -> Self {
        let Promotion { revision, epoch, terms, progress, .. } = promotion;
        Self { revision: *revision, epoch: *epoch, terms, halted: progress.halted.as_ref() }
    }
}

impl Catalog {
    /// Changes the rollout of the promotion in force. When this returns, update checks of this server follow it. In a
    /// channel that asks for approvals, a change that offers the revision to more clients waits for other people instead.
    pub async fn change_rollout(
        &self,
        context: ChangeContext<'_>,
        image: &ImageName,
        channel: &ChannelName,
        change: RolloutChange,
    ) -> Result<Promoted> {
        let mut tx = if change.only_stops() {
            self.db.write_to_free().await?
        } else {
            self.db.write().await?
        };
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, context.actor, channel).await?;
        let before = tx.assigned(image.id, channel.id).await?.ok_or(Error::NothingAssigned)?;
        context.condition.check(Some(&before.tag()))?;
        self.check_no_older_replica(&mut tx).await?;
        let place = Place { actor: context.actor, image: &image, channel: &channel };
        let (halts, mut terms) = (change.halted, before.terms.clone());
        change.apply(&mut terms)?;
        if channel.approvals > 0 && offers_more(&before.terms, &terms) {
            let revision = tx.revision_by_id(before.revision_id).await?;
            let revision = revision.ok_or(Error::NothingAssigned)?;
            // A stop does not wait with the rest.
            let mut now = before.terms.clone();
            now.rollout.paused = terms.rollout.paused;
            let before = self.change_terms(&mut tx, place, &before, (now, halts)).await?;
            tx.raise_catalog_version(Change::Image(image.id)).await?;
            let pending = self.request(&mut tx, place, &revision, (terms, Some(&before))).await?;
            let waiting = wait_for_approval(tx, pending, context.execution).await?;
            if !context.execution.is_dry_run() {
                self.refresh().await;
            }
            return Ok(waiting);
        }
        let promotion = self.change_terms(&mut tx, place, &before, (terms, halts)).await?;
        if promotion.progress == before.progress && promotion.terms == before.terms {
            return self.followed(&mut tx, &image, &channel.name, before).await.map(Promoted::from);
        }
        let followed = self.followed(&mut tx, &image, &channel.name, promotion.clone()).await?;
        let published = followed.published;
        let assignment = self.conclude(tx, promotion, context.execution).await?;
        Ok(Assignment { published, ..assignment }.into())
    }

    /// Puts other terms of the promotion in force into effect. The promotion stays the same.
    pub(in crate::catalog) async fn change_terms(
        &self,
        tx: &mut Tx,
        Place { actor, image, channel }: Place<'_>,
        before: &Promotion,
        (terms, halts): (Terms, Option<bool>),
    ) -> Result<Promotion> {
        let now = self.clock.now();
        let mut promotion = before.clone();
        // What time had completed stays so, whatever changes now.
        settle(&mut promotion, now);
        if let Some(halts) = halts {
            set_halted(&mut promotion, halts, &actor.name, now);
        }
        promotion.terms = terms;
        settle(&mut promotion, now);
        if promotion.terms == before.terms && promotion.progress == before.progress {
            return Ok(promotion);
        }
        promotion.progress.changes += 1;
        tx.update_rollout(&promotion).await?;
        tx.raise_channel_sequence(channel.id, now).await?;
        let entry = Entry {
            action: "channel.rollout_change",
            subject: format!("images/{}/channels/{}", image.name, channel.name),
            actor,
        };
        let (from, to) = (Recorded::of(before), Recorded::of(&promotion));
        self.audit(tx, entry, Some(&from), Some(&to));
        Ok(promotion)
    }
}

/// Reports whether other terms offer the revision to more clients, or sooner. A pause and its end do not.
fn offers_more(before: &Terms, after: &Terms) -> bool {
    let (old, new) = (&before.rollout, &after.rollout);
    let more_share = match (&old.pace, &new.pace) {
        (Pace::Percent(old), Pace::Percent(new)) => old < new,
        (Pace::Percent(old), Pace::Steps(new)) => new.iter().any(|step| *old < step.percent),
        (Pace::Steps(old), Pace::Percent(new)) => old.iter().any(|step| step.percent < *new),
        (Pace::Steps(old), Pace::Steps(new)) => old != new,
    };
    let sooner = |old: Option<DateTime<Utc>>, new: Option<DateTime<Utc>>| match (old, new) {
        (Some(old), Some(new)) => new < old,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let (deadline, other) = (before.for_clients.deadline, after.for_clients.deadline);
    let earlier_deadline = match (deadline, other) {
        (Some(old), Some(new)) => new < old,
        (old, new) => old.is_none() && new.is_some(),
    };
    more_share
        || sooner(old.start, new.start)
        || earlier_deadline
        || (!old.windows.is_empty() && old.windows != new.windows)
        || new.canaries.iter().any(|canary| !old.canaries.contains(canary))
}

fn set_halted(promotion: &mut Promotion, halts: bool, by: &str, now: DateTime<Utc>) {
    let progress = &mut promotion.progress;
    if halts && progress.halted.is_none() {
        let by = Some(by.to_owned());
        progress.halted =
            Some(Halted { at: now, by, failed: None, ended: None, failures: Vec::new() });
    } else if !halts && progress.halted.take().is_some() {
        progress.reports_since = Some(now);
    }
}
