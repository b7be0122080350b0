//! Users.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::{Account, AccountName, Role};
use crate::storage::{StorageError, Tx};

/// Lists the columns that an [`Account`] is read from.
macro_rules! account_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, password_hash, roles, images, disabled, version, created_at,
            updated_at
        )
    };
}
#[cfg(test)]
pub(super) use account_columns;

/// The initial values of a new user.
pub struct AccountRecord<'a> {
    pub id: Uuid,
    pub name: &'a AccountName,
    pub password_hash: &'a str,
    pub roles: &'a [Role],
    pub images: &'a [String],
    pub now: DateTime<Utc>,
}

impl Tx {
    /// Inserts a user. Returns `Duplicate` if the name is taken.
    pub async fn insert_account(&mut self, new: &AccountRecord<'_>) -> Result<(), StorageError> {
        insert!(self, "account", {
            id: new.id,
            name: new.name,
            name_key: new.name.key(),
            password_hash: new.password_hash,
            roles: Json(new.roles),
            images: Json(new.images),
            disabled: false,
            version: 1_i64,
            created_at: new.now,
            updated_at: new.now,
        })?;
        Ok(())
    }

    pub async fn account_by_key(
        &mut self,
        name_key: &str,
    ) -> Result<Option<Account>, StorageError> {
        optional!(
            self,
            concat!("select ", account_columns!(account), " from account where name_key = $1"),
            name_key
        )
    }

    pub async fn accounts(&mut self) -> Result<Vec<Account>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                account_columns!(account),
                " from account order by name_key collate \"C\""
            )
        )
    }

    pub async fn accounts_after(
        &mut self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Account>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                account_columns!(account),
                " from account where name_key > $1 collate \"C\" order by name_key collate \"C\" limit $2"
            ),
            after,
            limit
        )
    }

    pub async fn count_accounts(&mut self) -> Result<i64, StorageError> {
        value!(self, "select count(*) from account")
    }

    pub async fn update_account(&mut self, account: &Account) -> Result<(), StorageError> {
        execute!(
            self,
            "update account set password_hash = $2, roles = $3, images = $4, disabled = $5, version = $6, \
             updated_at = $7 where id = $1",
            account.id,
            &account.password_hash,
            Json(&account.roles),
            Json(&account.images),
            account.disabled,
            account.version,
            account.updated_at,
        )?;
        Ok(())
    }

    /// Replaces the password hash if it is still `from`, and reports whether it was.
    pub async fn replace_password_hash(
        &mut self,
        id: Uuid,
        from: &str,
        to: &str,
    ) -> Result<bool, StorageError> {
        let changed = execute!(
            self,
            "update account set password_hash = $3 where id = $1 and password_hash = $2",
            id,
            from,
            to
        )?;
        Ok(changed == 1)
    }

    pub async fn delete_account(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from account where id = $1", id)?;
        Ok(())
    }
}
