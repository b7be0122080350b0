//! The mappings from client certificates to users.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::certificate_mapping::{Criterion, Outcome, Rules};
use crate::model::row::from_row;
use crate::model::{AccountName, Certificate, CertificateMapping, MappingName};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Row`] is read from; the user's name comes from another table.
macro_rules! certificate_mapping_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, position, certificate, rules, denies, version, created_by, created_at
        )
    };
}
#[cfg(test)]
pub(super) use certificate_mapping_columns;

/// The initial values of a new mapping.
pub struct CertificateMappingRecord<'a> {
    pub id: Uuid,
    pub name: &'a MappingName,
    pub criterion: &'a Criterion,
    pub denies: bool,
    pub account: Option<Uuid>,
    pub created_by: &'a str,
    pub now: DateTime<Utc>,
}

/// A mapping as it is stored in its row.
struct Row {
    id: Uuid,
    name: MappingName,
    position: i64,
    certificate: Option<String>,
    rules: Option<Json<Rules>>,
    denies: bool,
    user_name: Option<AccountName>,
    version: i64,
    created_by: String,
    created_at: DateTime<Utc>,
}

from_row!(Row {
    id,
    name,
    position,
    certificate,
    rules,
    denies,
    user_name,
    version,
    created_by,
    created_at,
});

macro_rules! mappings {
    ($rest:literal) => {
        concat!(
            "select ",
            certificate_mapping_columns!(m),
            ", a.name as user_name from certificate_mapping m \
             left join account a on a.id = m.account_id ",
            $rest
        )
    };
}

impl Row {
    fn read(self) -> Result<CertificateMapping, StorageError> {
        let damaged = |what: &str| StorageError::Damaged(format!("mapping {}: {what}", self.name));
        let criterion = match (self.certificate, self.rules) {
            (Some(text), None) => {
                let der = STANDARD.decode(text).map_err(|_| damaged("it is not base64"))?;
                let certificate =
                    Certificate::from_der(&der).map_err(|error| damaged(&error.to_string()))?;
                Criterion::Certificate(Box::new(certificate))
            }
            (None, Some(Json(rules))) => Criterion::Rules { rules, position: self.position },
            _ => return Err(damaged("it has neither a certificate nor rules")),
        };
        let outcome = match (self.denies, self.user_name) {
            (true, user) => Outcome::Deny(user),
            (false, Some(user)) => Outcome::Allow(user),
            (false, None) => return Err(damaged("it has no user")),
        };
        Ok(CertificateMapping {
            id: self.id,
            name: self.name,
            criterion,
            outcome,
            version: self.version,
            created_by: self.created_by,
            created_at: self.created_at,
        })
    }
}

fn read_all(rows: Vec<Row>) -> Result<Vec<CertificateMapping>, StorageError> {
    rows.into_iter().map(Row::read).collect()
}

impl Tx {
    /// Inserts a mapping. Returns `Duplicate` if the name or the certificate is taken.
    pub async fn insert_certificate_mapping(
        &mut self,
        new: &CertificateMappingRecord<'_>,
    ) -> Result<(), StorageError> {
        let (certificate, fingerprint, rules) = match new.criterion {
            Criterion::Certificate(certificate) => (
                Some(STANDARD.encode(certificate.der())),
                Some(certificate.fingerprint().to_hex()),
                None,
            ),
            Criterion::Rules { rules, .. } => (None, None, Some(Json(rules))),
        };
        insert!(self, "certificate_mapping", {
            id: new.id,
            name: new.name,
            name_key: new.name.key(),
            position: new.criterion.position(),
            certificate: &certificate,
            fingerprint: &fingerprint,
            rules: &rules,
            denies: new.denies,
            account_id: new.account,
            version: 1_i64,
            created_by: new.created_by,
            created_at: new.now,
        })?;
        Ok(())
    }

    pub async fn certificate_mapping_by_key(
        &mut self,
        name_key: &str,
    ) -> Result<Option<CertificateMapping>, StorageError> {
        let row: Option<Row> = optional!(self, mappings!("where m.name_key = $1"), name_key)?;
        row.map(Row::read).transpose()
    }

    /// Returns the mapping of exactly this certificate.
    pub async fn mapping_of_certificate(
        &mut self,
        certificate: &Certificate,
    ) -> Result<Option<MappingName>, StorageError> {
        let found: Option<(MappingName,)> = optional!(
            self,
            "select name from certificate_mapping where fingerprint = $1",
            certificate.fingerprint().to_hex()
        )?;
        Ok(found.map(|(name,)| name))
    }

    /// Lists all mappings in the order in which they are tried.
    pub async fn certificate_mappings(&mut self) -> Result<Vec<CertificateMapping>, StorageError> {
        read_all(all!(self, mappings!("order by m.position, m.name_key collate \"C\""))?)
    }

    pub async fn certificate_mappings_after(
        &mut self,
        position: i64,
        name_key: &str,
        limit: i64,
    ) -> Result<Vec<CertificateMapping>, StorageError> {
        read_all(all!(
            self,
            mappings!(
                "where m.position > $1 or (m.position = $1 and m.name_key > $2 collate \"C\") \
                 order by m.position, m.name_key collate \"C\" limit $3"
            ),
            position,
            name_key,
            limit
        )?)
    }

    /// Returns the last position of a mapping with rules; 0 if there is none.
    pub async fn last_mapping_position(&mut self) -> Result<i64, StorageError> {
        value!(self, "select coalesce(max(position), 0) from certificate_mapping")
    }

    /// Moves the mappings from position `from` on by `by`, to open a gap at a position or to close the gap behind it.
    pub async fn move_mappings(&mut self, from: i64, by: i64) -> Result<(), StorageError> {
        execute!(
            self,
            "update certificate_mapping set position = position + $2, version = version + 1 where position >= $1",
            from,
            by
        )?;
        Ok(())
    }

    pub async fn delete_certificate_mapping(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from certificate_mapping where id = $1", id)?;
        Ok(())
    }

    /// Lists the mappings that let certificates authenticate as this user.
    pub async fn mappings_of(&mut self, account: Uuid) -> Result<Vec<MappingName>, StorageError> {
        let rows: Vec<(MappingName,)> = all!(
            self,
            "select name from certificate_mapping where account_id = $1 and not denies order by name_key collate \"C\"",
            account
        )?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// Removes the user from mappings that deny, and reports whether there were any.
    pub async fn forget_account_in_mappings(
        &mut self,
        account: Uuid,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update certificate_mapping set account_id = null, version = version + 1 where account_id = $1 and denies",
            account
        )?;
        Ok(changed > 0)
    }
}
