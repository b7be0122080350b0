//! Reports of clients on promotions, and the progress of promotions at some moments.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::promotions::{promotion, promotion_columns};
use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::report::RecordedReport;
use crate::model::row::from_row;
use crate::model::{ClientId, Promotion, ReportStatus};
use crate::storage::{StorageError, Tx};

/// A report to be recorded.
#[derive(Debug, Clone)]
pub struct NewReport<'a> {
    pub promotion: Uuid,
    pub client: &'a str,
    pub client_key: &'a str,
    pub status: ReportStatus,
    pub bytes: Option<i64>,
    pub milliseconds: Option<i64>,
    pub error: Option<&'a str>,
    pub at: DateTime<Utc>,
    /// The end that counts from now on, with its source; none leaves the one before.
    pub counted: Option<(ReportStatus, &'a str)>,
}

/// The number of clients whose reports count for a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedEnds {
    pub ended: i64,
    pub failed: i64,
}

from_row!(CountedEnds { ended, failed });

/// The numbers of clients by their last report on a promotion.
#[derive(Debug, Clone)]
pub struct ReportedState {
    pub status: ReportStatus,
    pub clients: i64,
}

from_row!(ReportedState { status, clients });

/// The progress of a promotion at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressPoint {
    pub at: DateTime<Utc>,
    pub on_revision: i64,
    pub clients: i64,
    pub downloading: i64,
    pub applied: i64,
    pub failed: i64,
}

from_row!(ProgressPoint { at, on_revision, clients, downloading, applied, failed });

/// A client's last check, as far as reports need it.
#[derive(Debug, Clone)]
pub struct LastOffer {
    pub client_group: Option<String>,
    /// The promotion whose revision the client was offered.
    pub promotion_id: Option<Uuid>,
}

from_row!(LastOffer { client_group, promotion_id });

impl Tx {
    /// Returns what the client was last offered of the image in the channel.
    pub async fn last_offer(
        &mut self,
        (image, channel): (Uuid, Uuid),
        client_key: &str,
    ) -> Result<Option<LastOffer>, StorageError> {
        optional!(
            self,
            "select client_group, promotion_id from client_record \
             where client_key = $1 and image_id = $2 and channel_id = $3",
            client_key,
            image,
            channel
        )
    }

    /// Reports whether the client has reported on the promotion.
    pub async fn has_reported(
        &mut self,
        promotion: Uuid,
        client_key: &str,
    ) -> Result<bool, StorageError> {
        let count: i64 = value!(
            self,
            "select count(*) from report where promotion_id = $1 and client_key = $2",
            promotion,
            client_key
        )?;
        Ok(count > 0)
    }

    /// Records the last report in the client's record. A client that has not asked yet has no record.
    pub async fn record_last_report(
        &mut self,
        (image, channel): (Uuid, Uuid),
        client: &ClientId,
        (status, revision, error): (ReportStatus, i64, Option<&str>),
        at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update client_record set status = $4, reported_revision = $5, error = $6, reported_at = $7 \
             where client_key = $1 and image_id = $2 and channel_id = $3",
            client.key(),
            image,
            channel,
            status,
            revision,
            error,
            at
        )?;
        Ok(())
    }

    /// Counts the clients of an image in a channel by the revision that they have.
    pub async fn clients_by_revision(
        &mut self,
        (image, channel): (Uuid, Uuid),
    ) -> Result<Vec<(i64, i64)>, StorageError> {
        all!(
            self,
            "select revision, count(*) from client_record where image_id = $1 and channel_id = $2 \
             group by revision order by revision",
            image,
            channel
        )
    }

    /// Counts the clients of an image in a channel by the reason of their last answer.
    pub async fn clients_by_reason(
        &mut self,
        (image, channel): (Uuid, Uuid),
    ) -> Result<Vec<(String, i64)>, StorageError> {
        all!(
            self,
            "select reason, count(*) from client_record where image_id = $1 and channel_id = $2 \
             and reason is not null group by reason order by reason",
            image,
            channel
        )
    }

    /// Counts the clients of an image in a channel that do not have a revision yet, by their groups.
    pub async fn clients_by_group_without(
        &mut self,
        (image, channel): (Uuid, Uuid),
        revision: i64,
    ) -> Result<Vec<(Option<String>, i64)>, StorageError> {
        all!(
            self,
            "select client_group, count(*) from client_record where image_id = $1 and channel_id = $2 \
             and revision <> $3 group by client_group",
            image,
            channel,
            revision
        )
    }

    /// Returns the newest promotion of a revision, by its number, in a channel.
    pub async fn newest_promotion_of(
        &mut self,
        (image, channel): (Uuid, Uuid),
        revision: i64,
    ) -> Result<Option<Promotion>, StorageError> {
        optional!(
            self,
            promotion!(
                "where p.image_id = $1 and p.channel_id = $2 and r.number = $3 and p.withdrawal is null \
                 order by p.epoch desc limit 1"
            ),
            image,
            channel,
            revision
        )
    }

    pub async fn report_of(
        &mut self,
        promotion: Uuid,
        client_key: &str,
    ) -> Result<Option<RecordedReport>, StorageError> {
        optional!(
            self,
            "select client, status, error, reported_at, counted, counted_caller from report \
             where promotion_id = $1 and client_key = $2",
            promotion,
            client_key
        )
    }

    /// Counts the clients, other than this one, whose reports count and came from the source, since a moment.
    pub async fn count_reports_from(
        &mut self,
        (promotion, since): (Uuid, DateTime<Utc>),
        source: &str,
        client_key: &str,
    ) -> Result<i64, StorageError> {
        value!(
            self,
            "select count(*) from report where promotion_id = $1 and counted_caller = $2 and counted is not null \
             and client_key <> $3 and counted_at > $4",
            promotion,
            source,
            client_key,
            since
        )
    }

    /// Returns the last end of a client that counted, and its time.
    pub async fn counted_end(
        &mut self,
        promotion: Uuid,
        client_key: &str,
    ) -> Result<Option<(ReportStatus, DateTime<Utc>)>, StorageError> {
        optional!(
            self,
            "select counted, counted_at from report where promotion_id = $1 and client_key = $2 \
             and counted is not null",
            promotion,
            client_key
        )
    }

    /// Records a client's report in place of its last one.
    pub async fn put_report(&mut self, report: &NewReport<'_>) -> Result<(), StorageError> {
        let (counted, caller) = report.counted.unzip();
        execute!(
            self,
            "insert into report (promotion_id, client_key, client, status, bytes, milliseconds, error, first_at, \
             reported_at, counted, counted_caller, counted_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11) \
             on conflict (promotion_id, client_key) do update set client = excluded.client, \
             status = excluded.status, bytes = excluded.bytes, milliseconds = excluded.milliseconds, \
             error = excluded.error, reported_at = excluded.reported_at, \
             counted = coalesce(excluded.counted, report.counted), \
             counted_caller = coalesce(excluded.counted_caller, report.counted_caller), \
             counted_at = coalesce(excluded.counted_at, report.counted_at)",
            report.promotion,
            report.client_key,
            report.client,
            report.status,
            report.bytes,
            report.milliseconds,
            report.error,
            report.at,
            counted,
            caller,
            counted.map(|_| report.at)
        )?;
        Ok(())
    }

    /// Counts the clients that reported an end which counts, since a moment.
    pub async fn counted_ends(
        &mut self,
        promotion: Uuid,
        since: DateTime<Utc>,
    ) -> Result<CountedEnds, StorageError> {
        let counted: Option<CountedEnds> = optional!(
            self,
            "select count(*) as ended, count(case when counted <> 'applied' then 1 end) as failed from report \
             where promotion_id = $1 and counted is not null and counted_at > $2",
            promotion,
            since
        )?;
        Ok(counted.unwrap_or(CountedEnds { ended: 0, failed: 0 }))
    }

    /// Lists the newest reports of a failure that count, since a moment.
    pub async fn newest_failures(
        &mut self,
        promotion: Uuid,
        since: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<RecordedReport>, StorageError> {
        all!(
            self,
            "select client, status, error, reported_at, counted, counted_caller from report \
             where promotion_id = $1 and counted is not null and counted <> 'applied' and counted_at > $2 \
             order by counted_at desc, client_key limit $3",
            promotion,
            since,
            limit
        )
    }

    /// Counts the clients by their last report on a promotion.
    pub async fn reported_states(
        &mut self,
        promotion: Uuid,
    ) -> Result<Vec<ReportedState>, StorageError> {
        all!(
            self,
            "select status, count(*) as clients from report where promotion_id = $1 group by status",
            promotion
        )
    }

    pub async fn progress_points(
        &mut self,
        promotion: Uuid,
    ) -> Result<Vec<ProgressPoint>, StorageError> {
        all!(
            self,
            "select at, on_revision, clients, downloading, applied, failed from progress_point \
             where promotion_id = $1 order by at",
            promotion
        )
    }

    /// Adds a moment, unless it is recorded already.
    pub async fn add_progress_point(
        &mut self,
        promotion: Uuid,
        point: &ProgressPoint,
    ) -> Result<(), StorageError> {
        insert!(self, "progress_point", {
            promotion_id: promotion,
            at: point.at,
            on_revision: point.on_revision,
            clients: point.clients,
            downloading: point.downloading,
            applied: point.applied,
            failed: point.failed,
        }, " on conflict (promotion_id, at) do nothing")?;
        Ok(())
    }

    pub async fn delete_progress_point(
        &mut self,
        promotion: Uuid,
        at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "delete from progress_point where promotion_id = $1 and at = $2",
            promotion,
            at
        )?;
        Ok(())
    }
}
