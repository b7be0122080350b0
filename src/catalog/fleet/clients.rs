//! The rows that callers read, and those that administrators delete.

use chrono::TimeDelta;
use serde_json::json;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::{Catalog, ChangeContext, Error, Result};
use crate::model::client_record::day;
use crate::model::{
    ChannelName, ClientFilter, ClientId, ClientRecord, IdPattern, ImageName, RecordPlace,
};
use crate::storage::FleetSize;

/// The number of rows that are deleted in one transaction.
const BATCH: i64 = 500;

/// The time after which only few clients of a fleet have not asked again.
const LONG_AGO: TimeDelta = TimeDelta::days(2);

/// The number of rows of one client that are shown.
const MOST_OF_ONE: i64 = 1000;

/// The clients that were deleted from the record, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    pub clients: u64,
    pub records: u64,
}

impl Catalog {
    /// Lists rows of the record behind `after`, in the order of the clients' ids. Images and channels that do not exist
    /// are refused; deleted images are in the record for as long as their clients are.
    pub async fn client_records(
        &self,
        mut filter: ClientFilter,
        image: Option<&ImageName>,
        channel: Option<&ChannelName>,
        after: Option<RecordPlace>,
        limit: i64,
    ) -> Result<Vec<ClientRecord>> {
        let long_ago = self.clock.now() - LONG_AGO;
        filter.seen_up_to_day = filter.seen_before.filter(|time| *time < long_ago).map(day);
        let mut tx = self.db.read().await?;
        if let Some(name) = image {
            let image = tx.image_by_key(&name.key()).await?.ok_or(Error::ImageNotFound)?;
            filter.image = Some(image.id);
        }
        if let Some(name) = channel {
            let channel = tx.channel_by_key(&name.key()).await?.ok_or(Error::ChannelNotFound)?;
            filter.channel = Some(channel.id);
        }
        Ok(tx.client_records(&filter, after.as_ref(), limit).await?)
    }

    /// Returns the rows of a client that are about images within the scope (patterns of names; empty for all).
    pub async fn records_of_client(
        &self,
        client: &ClientId,
        scope: &[String],
    ) -> Result<Vec<ClientRecord>> {
        let clients = Some(IdPattern::from(client));
        let filter = ClientFilter { clients, scope: scope.to_vec(), ..ClientFilter::default() };
        let rows = self.db.look().await?.client_records(&filter, None, MOST_OF_ONE).await?;
        if rows.is_empty() { Err(Error::ClientNotFound) } else { Ok(rows) }
    }

    /// Deletes a client from the record. It comes back with its next check.
    pub async fn delete_client(
        &self,
        change: ChangeContext<'_>,
        client: &ClientId,
    ) -> Result<Forgotten> {
        let pattern = IdPattern::from(client);
        let forgotten = self.forget_clients(change, &pattern, format!("clients/{client}")).await?;
        if forgotten.clients == 0 { Err(Error::ClientNotFound) } else { Ok(forgotten) }
    }

    /// Deletes the clients whose ids match the pattern.
    pub async fn delete_clients(
        &self,
        change: ChangeContext<'_>,
        pattern: &IdPattern,
    ) -> Result<Forgotten> {
        self.forget_clients(change, pattern, "clients".to_owned()).await
    }

    /// Deletes in many transactions, because there may be a million rows. The audit says so in the first.
    async fn forget_clients(
        &self,
        change: ChangeContext<'_>,
        pattern: &IdPattern,
        subject: String,
    ) -> Result<Forgotten> {
        let FleetSize { clients, records } =
            self.db.look().await?.count_client_records(pattern).await?;
        if change.execution.is_dry_run() || records == 0 {
            return Ok(Forgotten { clients, records });
        }
        let mut tx = self.db.write_to_free().await?;
        let before = json!({"q": pattern.as_str(), "clients": clients, "records": records});
        let entry = Entry { action: "client.delete", subject, actor: change.actor };
        self.audit(&mut tx, entry, Some(&before), NOTHING);
        self.fleet().forget(pattern);
        let mut deleted = tx.delete_client_records(pattern, BATCH).await?;
        tx.commit().await?;
        let mut all = deleted;
        while deleted.cast_signed() >= BATCH {
            let mut tx = self.db.write_to_free().await?;
            deleted = tx.delete_client_records(pattern, BATCH).await?;
            tx.commit().await?;
            all += deleted;
        }
        self.fleet().size.forget();
        Ok(Forgotten { clients, records: all })
    }
}
