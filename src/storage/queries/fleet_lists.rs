//! The rows of the record that callers ask for, and those that they delete.
//!
//! Lists are read in the order of the clients' ids, from one place on. A list whose conditions no index answers
//! therefore reads the table once in all, however many pages it has. The statements say so: names are looked up for each row
//! that is returned, and the scope for each row that is read, because a join might be done in another order.

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::fleet::{FleetSize, statement};
use super::like::{ESCAPE, like};
use super::statement::columns;
use crate::model::{ClientFilter, ClientRecord, IdPattern, RecordPlace};
use crate::storage::db::{Either, on};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`ClientRecord`] is read from, without the names of image and channel.
macro_rules! client_record_columns {
    ($name:ident) => {
        columns!(
            $name: client_key, image_id, channel_id, client, revision, client_group, action, reason,
            promotion_id, address, agent, first_seen, last_seen, status, reported_revision,
            reported_at, error
        )
    };
}
#[cfg(test)]
pub(super) use client_record_columns;

/// The name of the order of bytes in a statement. SQLite orders by bytes anyway, and would not use an index for a named
/// order.
const fn byte_order(on: &Either) -> &'static str {
    match on {
        Either::Sqlite(_) => "",
        Either::Postgres(_) => " collate \"C\"",
    }
}

/// Returns a plus that keeps `SQLite` from using the index of a column. It has no statistics, and would read all rows in
/// their order, or all of an image, to find the few that were last seen long ago.
const fn no_index(on: &Either, filter: &ClientFilter) -> &'static str {
    match on {
        Either::Sqlite(_) if filter.seen_up_to_day.is_some() => "+",
        Either::Sqlite(_) | Either::Postgres(_) => "",
    }
}

/// Adds the condition that the client's id matches the pattern.
fn push_pattern<DB: Database>(query: &mut QueryBuilder<DB>, pattern: &IdPattern, byte_order: &str)
where
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    if pattern.is_exact() {
        query.push(" and c.client_key = ").push_bind(pattern.as_str().to_owned());
        return;
    }
    let prefix = pattern.prefix();
    if !prefix.is_empty() {
        // Ids have no character that comes after a tilde.
        let end = format!("{prefix}~");
        query.push(" and c.client_key >= ").push_bind(prefix.to_owned()).push(byte_order);
        query.push(" and c.client_key < ").push_bind(end).push(byte_order);
    }
    if pattern.as_str() != format!("{prefix}*") {
        query.push(" and c.client_key like ").push_bind(like(pattern.as_str()));
        query.push(ESCAPE);
    }
}

/// Adds the condition that the image's name matches one of the patterns.
fn push_scope<DB: Database>(query: &mut QueryBuilder<DB>, scope: &[String])
where
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    if scope.is_empty() {
        return;
    }
    query.push(" and exists (select 1 from image i where i.id = c.image_id and (");
    for (index, pattern) in scope.iter().enumerate() {
        query.push(if index == 0 { "" } else { " or " });
        query.push("i.name_key like ").push_bind(like(pattern)).push(ESCAPE);
    }
    query.push("))");
}

impl Tx {
    /// Lists rows behind `after`, in the order of the clients' ids.
    pub async fn client_records(
        &mut self,
        filter: &ClientFilter,
        after: Option<&RecordPlace>,
        limit: i64,
    ) -> Result<Vec<ClientRecord>, StorageError> {
        let byte_order = byte_order(&self.on);
        let no_index = no_index(&self.on, filter);
        let key = format!("{no_index}c.client_key{byte_order}");
        let start = concat!(
            "select ",
            client_record_columns!(c),
            ", (select name from image i where i.id = c.image_id) as image, \
             (select name from channel h where h.id = c.channel_id) as channel \
             from client_record c where true"
        );
        let rows = on!(self, conn => {
            let mut query = statement(&*conn, start);
            if let Some(after) = after {
                query.push(" and (").push(&key).push(", c.image_id, c.channel_id) > (");
                query.push_bind(after.client_key.as_str()).push(", ").push_bind(after.image_id);
                query.push(", ").push_bind(after.channel_id).push(")");
            }
            if let Some(image) = filter.image {
                query.push(" and ").push(no_index).push("c.image_id = ").push_bind(image);
            }
            if let Some(channel) = filter.channel {
                query.push(" and c.channel_id = ").push_bind(channel);
            }
            if let Some(revision) = filter.revision {
                query.push(" and c.revision = ").push_bind(revision);
            }
            if let Some(group) = &filter.group {
                query.push(" and c.client_group = ").push_bind(group.as_str());
            }
            if let Some(status) = filter.status {
                query.push(" and c.status = ").push_bind(status);
            }
            if let Some(before) = filter.seen_before {
                query.push(" and c.last_seen < ").push_bind(before);
            }
            if let Some(day) = filter.seen_up_to_day {
                query.push(" and c.seen_day <= ").push_bind(day);
            }
            if let Some(after) = filter.seen_after {
                query.push(" and c.last_seen > ").push_bind(after);
            }
            if let Some(pattern) = &filter.clients {
                push_pattern(&mut query, pattern, byte_order);
            }
            push_scope(&mut query, &filter.scope);
            query.push(" order by ").push(&key).push(", c.image_id, c.channel_id limit ").push_bind(limit);
            query.build_query_as().fetch_all(conn).await
        })?;
        Ok(rows)
    }

    /// Counts the clients whose ids match the pattern, and their rows.
    pub async fn count_client_records(
        &mut self,
        pattern: &IdPattern,
    ) -> Result<FleetSize, StorageError> {
        let byte_order = byte_order(&self.on);
        let counted: (i64, i64) = on!(self, conn => {
            let start = "select coalesce(cast(sum(records) as bigint), 0), count(*) from \
                         (select count(*) as records from client_record c where true";
            let mut query = statement(&*conn, start);
            push_pattern(&mut query, pattern, byte_order);
            query.push(" group by c.client_key) matching");
            query.build_query_as().fetch_one(conn).await
        })?;
        Ok(FleetSize { records: counted.0.unsigned_abs(), clients: counted.1.unsigned_abs() })
    }

    /// Deletes at most `limit` rows of clients whose ids match the pattern. Returns how many were deleted.
    pub async fn delete_client_records(
        &mut self,
        pattern: &IdPattern,
        limit: i64,
    ) -> Result<u64, StorageError> {
        let byte_order = byte_order(&self.on);
        let deleted = on!(self, conn => {
            let start = "delete from client_record where (client_key, image_id, channel_id) in \
                         (select c.client_key, c.image_id, c.channel_id from client_record c where true";
            let mut query = statement(&*conn, start);
            push_pattern(&mut query, pattern, byte_order);
            query.push(" limit ").push_bind(limit).push(")");
            query.build().execute(conn).await.map(|done| done.rows_affected())
        })?;
        Ok(deleted)
    }
}
