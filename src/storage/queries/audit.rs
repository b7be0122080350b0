//! The record of who changed what.

use super::fleet::statement;
use super::like::{ESCAPE, escaped, like};
use super::statement::{all, columns, execute, insert, optional, value};
use crate::storage::audit_row::{AuditFilter, AuditHead, AuditRow};
use crate::storage::db::on;
use crate::storage::{StorageError, Tx};

/// Lists the columns that an [`AuditRow`] is read from.
macro_rules! audit_columns {
    ($name:ident) => {
        columns!(
            $name: id, at, caller, action, subject, state_before, state_after, request_id,
            client_address, sequence, hash
        )
    };
}
#[cfg(test)]
pub(super) use audit_columns;

impl Tx {
    pub async fn audit_head(&mut self) -> Result<Option<AuditHead>, StorageError> {
        optional!(self, "select sequence, hash from audit_head where id = 1")
    }

    /// Returns the last row that was pruned, with the sequence 0 if there is none. It is stored beside the newest row,
    /// so that everything that includes that one includes it, too.
    pub async fn audit_anchor(&mut self) -> Result<AuditHead, StorageError> {
        let anchor = optional!(self, "select sequence, hash from audit_head where id = 2")?;
        Ok(anchor.unwrap_or_default())
    }

    /// Deletes the rows of the chain up to `anchor`, which becomes the last pruned row.
    pub async fn prune_audit(&mut self, anchor: &AuditHead) -> Result<(), StorageError> {
        let before = self.audit_anchor().await?;
        execute!(
            self,
            "delete from audit where sequence > $1 and sequence <= $2",
            before.sequence,
            anchor.sequence
        )?;
        insert!(
            self,
            "audit_head",
            { id: 2_i64, sequence: anchor.sequence, hash: &anchor.hash, },
            " on conflict (id) do update set sequence = excluded.sequence, hash = excluded.hash",
        )?;
        Ok(())
    }

    /// Reports whether exactly this row is in the chain.
    pub async fn has_audit_row(&mut self, sequence: i64, hash: &str) -> Result<bool, StorageError> {
        let found: i64 = value!(
            self,
            "select count(*) from audit where sequence = $1 and hash = $2",
            sequence,
            hash
        )?;
        Ok(found > 0)
    }

    /// Keeps others from appending until the end of this transaction.
    pub async fn lock_audit(&mut self) -> Result<(), StorageError> {
        execute!(self, "update audit_head set sequence = sequence where id = 1")?;
        Ok(())
    }

    /// Chains rows behind the newest one, which stays locked: the next transaction that appends waits for the end of
    /// this one.
    pub(in crate::storage) async fn append_to_audit(
        &mut self,
        rows: Vec<AuditRow>,
    ) -> Result<(), StorageError> {
        self.lock_audit().await?;
        let gone = || StorageError::Damaged("the audit's record of its newest row is gone".into());
        let mut head = self.audit_head().await?.ok_or_else(gone)?;
        self.must_take_changes().await?;
        for mut row in rows {
            head = head.followed_by(&mut row);
            self.insert_audit(&row).await?;
        }
        self.set_audit_head(&head).await
    }

    /// Fails if the catalog is frozen. Checked under the lock on the newest row, which freezing takes, too, so that no
    /// change slips past.
    async fn must_take_changes(&mut self) -> Result<(), StorageError> {
        if self.is_freezing {
            return Ok(());
        }
        self.frozen().await?.map_or(Ok(()), |why| Err(StorageError::Frozen(why)))
    }

    /// Returns why the catalog accepts no changes; none if it does.
    pub async fn frozen(&mut self) -> Result<Option<String>, StorageError> {
        let frozen: Option<(Option<String>,)> =
            optional!(self, "select frozen from catalog_state where id = 1")?;
        Ok(frozen.and_then(|(why,)| why))
    }

    /// Makes the catalog refuse all changes from the commit on, or accept them again.
    pub async fn set_frozen(&mut self, why: Option<&str>) -> Result<(), StorageError> {
        self.is_freezing = true;
        execute!(self, "update catalog_state set frozen = $1 where id = 1", why)?;
        Ok(())
    }

    async fn set_audit_head(&mut self, head: &AuditHead) -> Result<(), StorageError> {
        execute!(
            self,
            "update audit_head set sequence = $1, hash = $2 where id = 1",
            head.sequence,
            &head.hash
        )?;
        Ok(())
    }

    /// Gives the rows of versions that had no chain their places in it. It does so only while the chain is empty:
    /// otherwise a row that an attacker inserts would be chained.
    pub(in crate::storage) async fn chain_older_rows(&mut self) -> Result<(), StorageError> {
        execute!(self, "update audit_head set sequence = sequence where id = 1")?;
        let Some(mut head) = self.audit_head().await?.filter(|head| head.sequence == 0) else {
            return Ok(());
        };
        loop {
            let older: Vec<AuditRow> = all!(
                self,
                concat!(
                    "select ",
                    audit_columns!(audit),
                    " from audit where sequence is null order by at, id limit 1000"
                )
            )?;
            if older.is_empty() {
                return self.set_audit_head(&head).await;
            }
            for mut row in older {
                head = head.followed_by(&mut row);
                execute!(
                    self,
                    "update audit set sequence = $2, hash = $3 where id = $1",
                    row.id,
                    row.sequence,
                    &row.hash
                )?;
            }
        }
    }

    /// Counts the rows that have no place in the chain, or one that was pruned. There are none, unless somebody
    /// inserted rows into the database directly.
    pub async fn unchained_audit_rows(&mut self) -> Result<i64, StorageError> {
        let anchor = self.audit_anchor().await?;
        let query = "select count(*) from audit where sequence is null or sequence <= $1";
        let row: Option<(i64,)> = optional!(self, query, anchor.sequence)?;
        Ok(row.map_or(0, |(count,)| count))
    }

    async fn insert_audit(&mut self, row: &AuditRow) -> Result<(), StorageError> {
        insert!(self, "audit", {
            id: row.id,
            at: row.at,
            caller: &row.caller,
            action: &row.action,
            subject: &row.subject,
            state_before: &row.state_before,
            state_after: &row.state_after,
            request_id: &row.request_id,
            client_address: &row.client_address,
            sequence: row.sequence,
            hash: &row.hash,
        })?;
        Ok(())
    }

    /// Lists the rows before the sequence `before` that the filter covers, newest first: by the chain and not by the
    /// clock, which may have been wrong.
    pub async fn audit_before(
        &mut self,
        before: i64,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StorageError> {
        let start =
            concat!("select ", audit_columns!(audit), " from audit where sequence is not null");
        let rows = on!(self, conn => {
            let mut query = statement(&*conn, start);
            query.push(" and sequence < ").push_bind(before);
            if let Some(caller) = &filter.caller {
                query.push(" and caller = ").push_bind(caller.as_str());
            }
            if let Some(subject) = &filter.subject {
                let subject = escaped(subject.trim_end_matches('/'));
                query.push(" and (lower(subject) like ").push_bind(subject.clone()).push(ESCAPE);
                query.push(" or lower(subject) like ").push_bind(format!("{subject}/%"));
                query.push(ESCAPE).push(")");
            }
            if let Some(action) = &filter.action {
                query.push(" and action like ").push_bind(like(action)).push(ESCAPE);
            }
            if let Some(since) = filter.since {
                query.push(" and at >= ").push_bind(since);
            }
            if let Some(until) = filter.until {
                query.push(" and at < ").push_bind(until);
            }
            query.push(" order by sequence desc limit ").push_bind(limit);
            query.build_query_as().fetch_all(conn).await
        })?;
        Ok(rows)
    }

    /// Lists the rows of the chain after `after`, in its order.
    pub async fn audit_chain_after(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                audit_columns!(audit),
                " from audit where sequence > $1 order by sequence limit $2"
            ),
            after,
            limit
        )
    }
}
