//! The record of clients: what each last asked of each image and channel. There may be a million rows and a thousand
//! updates a second, so every statement is for many rows, and none reads the whole table while it holds a lock.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{Connection, Database, QueryBuilder};

use crate::model::client_record::day;
use crate::model::{ClientCheck, RecordPlace};
use crate::storage::db::on;
use crate::storage::{StorageError, Tx};

/// The number of rows of the largest statement. Longer lists are divided into powers of two, so that there are few
/// different statements, which the connections keep prepared.
const LARGEST: usize = 128;

/// The numbers of rows and of clients on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetSize {
    pub records: u64,
    pub clients: u64,
}

/// Begins a statement for the database of a connection.
pub(super) fn statement<C: Connection>(_: &C, text: &str) -> QueryBuilder<C::Database>
where
    <C::Database as Database>::Arguments: Default,
{
    QueryBuilder::new(text)
}

/// Divides rows into pieces of [`LARGEST`] rows and then of smaller powers of two.
fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = LARGEST.min(1 << rest.len().checked_ilog2()?);
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        Some(piece)
    })
}

impl Tx {
    /// Returns those of the clients, by their ids in lower case, that are on record.
    pub async fn clients_on_record(
        &mut self,
        keys: &[String],
    ) -> Result<HashSet<String>, StorageError> {
        let mut known = HashSet::new();
        for piece in pieces(keys) {
            let found: Vec<String> = on!(self, conn => {
                let start = "select distinct client_key from client_record where client_key in (";
                let mut query = statement(&*conn, start);
                let mut list = query.separated(", ");
                for key in piece {
                    list.push_bind(key.as_str());
                }
                query.push(")").build_query_scalar().fetch_all(conn).await
            })?;
            known.extend(found);
        }
        Ok(known)
    }

    /// Records checks. A row that has a later one already stays as it is.
    pub async fn record_checks(&mut self, checks: &[ClientCheck]) -> Result<(), StorageError> {
        for piece in pieces(checks) {
            on!(self, conn => {
                let start = "insert into client_record (client_key, image_id, channel_id, client, revision, \
                             client_group, action, reason, promotion_id, address, agent, authenticated, first_seen, \
                             last_seen, seen_day) ";
                let mut query = statement(&*conn, start);
                query.push_values(piece, |mut row, check| {
                    row.push_bind(check.client.key())
                        .push_bind(check.image_id)
                        .push_bind(check.channel_id)
                        .push_bind(check.client.as_str())
                        .push_bind(check.revision)
                        .push_bind(check.group.as_deref())
                        .push_bind(check.action.as_str())
                        .push_bind(check.reason.as_str())
                        .push_bind(check.promotion_id)
                        .push_bind(check.address.to_string())
                        .push_bind(&*check.agent)
                        .push_bind(check.authenticated)
                        .push_bind(check.first_seen)
                        .push_bind(check.last_seen)
                        .push_bind(day(check.last_seen));
                });
                query.push(
                    " on conflict (client_key, image_id, channel_id) do update set client = excluded.client, \
                     revision = excluded.revision, client_group = excluded.client_group, action = excluded.action, \
                     reason = excluded.reason, promotion_id = excluded.promotion_id, address = excluded.address, \
                     agent = excluded.agent, \
                     authenticated = client_record.authenticated or excluded.authenticated, \
                     last_seen = excluded.last_seen, seen_day = excluded.seen_day where client_record.last_seen <= excluded.last_seen",
                );
                query.build().execute(conn).await.map(drop)
            })?;
        }
        Ok(())
    }

    pub async fn fleet_size(&mut self) -> Result<FleetSize, StorageError> {
        let counted: (i64, i64) = on!(self, conn => {
            sqlx::query_as(
                "select (select count(*) from client_record), \
                 (select count(*) from (select distinct client_key from client_record) known)",
            )
            .fetch_one(conn)
            .await
        })?;
        Ok(FleetSize { records: counted.0.unsigned_abs(), clients: counted.1.unsigned_abs() })
    }

    /// Lists the rows that were not seen for the longest time, with the time of the last of them. Clients that have
    /// reported or have credentials come after all others.
    pub async fn oldest_records(
        &mut self,
        limit: i64,
    ) -> Result<Vec<(RecordPlace, DateTime<Utc>)>, StorageError> {
        let rows: Vec<OldRecord> = on!(self, conn => {
            sqlx::query_as(
                "select client_key, image_id, channel_id, last_seen from client_record \
                 order by case when status is null and not authenticated then 0 else 1 end, last_seen limit $1",
            )
            .bind(limit)
            .fetch_all(conn)
            .await
        })?;
        Ok(rows.into_iter().map(|OldRecord { place, last_seen }| (place, last_seen)).collect())
    }

    /// Deletes rows, except those that were seen again after `seen`.
    pub async fn delete_records(
        &mut self,
        places: &[RecordPlace],
        seen: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        let mut deleted = 0;
        for piece in pieces(places) {
            deleted += on!(self, conn => {
                let mut query = statement(&*conn, "delete from client_record where last_seen <= ");
                query.push_bind(seen).push(" and (");
                // For a list of values, SQLite would read the whole table.
                for (index, place) in piece.iter().enumerate() {
                    query.push(if index == 0 { "(" } else { " or (" });
                    query.push("client_key = ").push_bind(place.client_key.as_str());
                    query.push(" and image_id = ").push_bind(place.image_id);
                    query.push(" and channel_id = ").push_bind(place.channel_id).push(")");
                }
                query.push(")").build().execute(conn).await.map(|done| done.rows_affected())
            })?;
        }
        Ok(deleted)
    }
}

struct OldRecord {
    place: RecordPlace,
    last_seen: DateTime<Utc>,
}

crate::model::row::from_row!(OldRecord { place: flatten, last_seen });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_divided_into_powers_of_two() {
        let lengths =
            |count: usize| -> Vec<usize> { pieces(&vec![0; count]).map(<[i32]>::len).collect() };
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
    }
}
