//! Reports of clients: what they did with a revision. A report is acknowledged when it is durable.
//!
//! Many clients report in the same seconds, and a transaction for each would keep the database busy with nothing else.
//! Reports that arrive while a transaction is written therefore wait for the next one, which takes all of them.
//!
//! Reports can stop a rollout ([`halt`](super::halt)). So that no single machine can stop it, and none can hide that it
//! fails, an end counts only once for each client, only for a client that was offered the revision by this promotion, and
//! only for a few clients of one certificate or address.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta};
use serde_json::json;
use tokio::sync::oneshot;

use super::error_text::clean;
use super::halt::Affected;
use super::recorder::Key;
use super::waiting_reports::{Prepared, Report, Waiting, Written};
use crate::catalog::events::News;
use crate::catalog::rollout::offered::may_have_been_offered;
use crate::catalog::{Catalog, Error, Result};
use crate::model::event::EventPlace;
use crate::model::report::ReportSource;
use crate::model::{ClientGroup, EventType, Promotion, ReportStatus};
use crate::storage::{NewReport, StorageError, Tx};

/// The number of reports that wait for a transaction. More are refused, and their clients try again.
const MOST_WAITING: usize = 20_000;

/// The number of reports in one transaction.
const BATCH: usize = 500;

/// The time after a client's last end before a failure of the client is told again. Otherwise a client that reports
/// successes and failures in turn would fill the record of events.
const TOLD_AGAIN_AFTER: TimeDelta = TimeDelta::minutes(10);

impl Catalog {
    /// Records a report. When this returns, it is durable.
    pub async fn report(&self, report: Report) -> Result<()> {
        let prepared = self.prepare_report(report)?;
        let (written, outcome) = oneshot::channel();
        {
            let mut waiting = self.waiting_reports();
            if waiting.len() >= MOST_WAITING {
                return Err(unavailable("too many reports wait to be recorded").into());
            }
            waiting.push((prepared, written));
        }
        // A task of its own: the reports of others must not be lost if this caller goes away.
        let catalog = self.clone();
        let writing = self.runtime.spawn(async move { catalog.write_waiting_reports().await });
        let lost = || Error::from(unavailable("the report could not be recorded"));
        let outcome = outcome.await.map_err(|_| lost());
        drop(writing);
        match outcome?? {
            Written::Recorded => Ok(()),
            Written::NeverPromoted => Err(Error::invalid(
                "revision",
                "was never promoted to this channel, so no client can have it from there",
            )),
            Written::TooManyNew => Err(Error::TooManyReporters),
        }
    }

    fn prepare_report(&self, mut report: Report) -> Result<Prepared> {
        let snapshot = self.snapshot();
        let channel = snapshot.channel(&report.channel).ok_or(Error::ChannelNotFound)?;
        let image = snapshot.image(&report.image).ok_or(Error::ImageNotFound)?;
        let pins = image.pins(&channel.channel.name);
        let pinned = pins.and_then(|pins| pins.get(&report.client.key()));
        report.error = report.error.map(|error| clean(&error));
        Ok(Prepared {
            image: image.image.id,
            channel: channel.channel.id,
            at: self.clock.now(),
            is_pinned: pinned.is_some_and(|pinned| pinned.number == report.revision),
            report,
        })
    }

    fn waiting_reports(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.shared.waiting_reports.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits, unless another caller has written it meanwhile.
    async fn write_waiting_reports(&self) {
        let _one_at_a_time = self.shared.waiting_reports.writing.lock().await;
        let batch: Vec<Waiting> = {
            let mut waiting = self.waiting_reports();
            let end = waiting.len().min(BATCH);
            waiting.drain(..end).collect()
        };
        if batch.is_empty() {
            return;
        }
        let (mut prepared, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.write_reports(&mut prepared).await {
            Ok(outcomes) => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _gone = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(%reason, reports = answers.len(), "reports of clients could not be recorded");
                for answer in answers {
                    let _gone = answer.send(Err(unavailable(&reason).into()));
                }
            }
        }
    }

    async fn write_reports(&self, reports: &mut [Prepared]) -> Result<Vec<Written>> {
        let reporters = reports.iter().map(|Prepared { report, image, channel, .. }| Key {
            client: report.client.clone(),
            image: *image,
            channel: *channel,
        });
        self.write_checks_of(reporters).await?;
        let mut tx = self.db.write().await?;
        // A report that is taken while the catalog moves would be missing at its new place.
        if let Some(why) = tx.frozen().await? {
            return Err(StorageError::Frozen(why).into());
        }
        // In one order on every server, so that two transactions never wait for each other's rows.
        let mut order: Vec<usize> = (0..reports.len()).collect();
        order.sort_by_key(|at| {
            let prepared = &reports[*at];
            (prepared.image, prepared.channel, prepared.report.client.key())
        });
        let mut outcomes: Vec<Written> = reports.iter().map(|_| Written::Recorded).collect();
        let mut affected = BTreeSet::new();
        for at in order {
            let prepared = &reports[at];
            let promotion = self.promotion_of(&mut tx, prepared).await?;
            if promotion.is_none() && !prepared.is_pinned {
                outcomes[at] = Written::NeverPromoted;
                continue;
            }
            if !self.may_be_recorded(&mut tx, prepared, promotion.as_ref()).await? {
                outcomes[at] = Written::TooManyNew;
                continue;
            }
            self.record_last_report(&mut tx, prepared).await?;
            if let Some(promotion) = promotion
                && self.write_report(&mut tx, prepared, &promotion).await?
            {
                let Report { image, channel, .. } = &prepared.report;
                affected.insert(Affected {
                    promotion: promotion.id,
                    image: image.clone(),
                    channel: channel.clone(),
                });
            }
        }
        let has_halted = self.halt_where_too_many_failed(&mut tx, affected).await?;
        tx.commit().await?;
        if has_halted {
            self.refresh().await;
            self.tree_is_due();
        }
        Ok(outcomes)
    }

    /// Returns the promotion that the report is about: the one in force if it is of the revision, otherwise the newest one
    /// of the revision.
    async fn promotion_of(&self, tx: &mut Tx, prepared: &Prepared) -> Result<Option<Promotion>> {
        let Report { image, channel, revision, .. } = &prepared.report;
        let snapshot = self.snapshot().clone();
        let offer = snapshot.image(image).and_then(|image| image.offer(channel).cloned());
        if let Some(offer) = offer.filter(|offer| offer.promotion.revision == *revision) {
            return Ok(Some(offer.promotion.clone()));
        }
        Ok(tx.newest_promotion_of((prepared.image, prepared.channel), *revision).await?)
    }

    /// Reports whether the client is known, by a check or by an earlier report, or may come in as a new one.
    async fn may_be_recorded(
        &self,
        tx: &mut Tx,
        Prepared { report, image, channel, at, .. }: &Prepared,
        promotion: Option<&Promotion>,
    ) -> Result<bool> {
        let Some(promotion) = promotion else { return Ok(true) };
        let key = report.client.key();
        let is_known = tx.last_offer((*image, *channel), &key).await?.is_some()
            || tx.has_reported(promotion.id, &key).await?;
        let (limit, newcomers) =
            (self.rules().fleet.new_clients, &self.shared.waiting_reports.newcomers);
        Ok(is_known || newcomers.admit(&report.source, at.timestamp(), limit))
    }

    /// Records a report on a promotion. Returns whether it may halt the rollout.
    async fn write_report(
        &self,
        tx: &mut Tx,
        prepared: &Prepared,
        promotion: &Promotion,
    ) -> Result<bool> {
        let Prepared { report, at, .. } = prepared;
        let key = report.client.key();
        let counts = report.status.is_end()
            && self.was_offered(tx, prepared, promotion).await?
            && self.source_may_count(tx, promotion, &report.source, &key).await?;
        let recorded = NewReport {
            promotion: promotion.id,
            client: report.client.as_str(),
            client_key: &key,
            status: report.status,
            bytes: report.bytes,
            milliseconds: report.milliseconds,
            error: report.error.as_deref(),
            at: *at,
            counted: counts.then(|| (report.status, report.source.as_str())),
        };
        let is_news = counts
            && report.status == ReportStatus::Failed
            && tx.counted_end(promotion.id, &key).await?.is_none_or(|(status, ended)| {
                status != ReportStatus::Failed && *at - ended >= TOLD_AGAIN_AFTER
            });
        tx.put_report(&recorded).await?;
        if is_news {
            self.tell_readers(tx, failed(report));
        }
        Ok(counts && promotion.terms.rollout.halt.is_some())
    }

    /// Reports whether the promotion offers or offered the revision to the client: by its rules now, or according to the
    /// record.
    async fn was_offered(
        &self,
        tx: &mut Tx,
        Prepared { report, image, channel, at, .. }: &Prepared,
        promotion: &Promotion,
    ) -> Result<bool> {
        let record = tx.last_offer((*image, *channel), &report.client.key()).await?;
        let (group, offered) =
            record.map_or((None, None), |record| (record.client_group, record.promotion_id));
        if offered == Some(promotion.id) {
            return Ok(true);
        }
        let group: Option<ClientGroup> = group.and_then(|group| group.parse().ok());
        Ok(may_have_been_offered(promotion, &report.client, group.as_ref(), *at))
    }

    async fn source_may_count(
        &self,
        tx: &mut Tx,
        promotion: &Promotion,
        source: &ReportSource,
        client_key: &str,
    ) -> Result<bool> {
        let limit = i64::from(self.rules().fleet.reports_per_caller);
        if limit == 0 {
            return Ok(true);
        }
        let since = promotion.progress.reports_since.unwrap_or(DateTime::UNIX_EPOCH);
        let place = (promotion.id, since);
        Ok(tx.count_reports_from(place, source.as_str(), client_key).await? < limit)
    }

    async fn record_last_report(&self, tx: &mut Tx, prepared: &Prepared) -> Result<()> {
        let Prepared { report, image, channel, at, .. } = prepared;
        tx.record_last_report(
            (*image, *channel),
            &report.client,
            (report.status, report.revision, report.error.as_deref()),
            *at,
        )
        .await?;
        Ok(())
    }
}

fn failed(report: &Report) -> News<'static> {
    let Report { image, channel, revision, client, error, .. } = report;
    News {
        kind: EventType::ClientFailed,
        actor: "system:reports",
        subject: format!("clients/{client}"),
        place: EventPlace {
            image: Some(image.to_string()),
            channel: Some(channel.to_string()),
            revision: Some(*revision),
        },
        data: json!({"client": client, "error": error}),
    }
}

fn unavailable(reason: &str) -> StorageError {
    StorageError::Unavailable(reason.to_owned())
}
