//! The receivers of events.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::statement::{all, columns, execute, insert, optional, value};
use crate::model::Webhook;
use crate::model::webhook::{StoredSecrets, WebhookSecret};
use crate::storage::{StorageError, Tx};

/// Lists the columns that a [`Webhook`] is read from.
macro_rules! webhook_columns {
    ($name:ident) => {
        columns!(
            $name: id, name, url, types, images, active, ended, version, created_by, created_at, updated_at,
            old_secret_until
        )
    };
}
#[cfg(test)]
pub(super) use webhook_columns;

impl Tx {
    pub async fn insert_webhook(
        &mut self,
        webhook: &Webhook,
        secret: &WebhookSecret,
    ) -> Result<(), StorageError> {
        insert!(self, "webhook", {
            id: webhook.id,
            name: &webhook.name,
            name_key: webhook.name.key(),
            url: &webhook.url,
            types: Json(&webhook.types),
            images: Json(&webhook.images),
            secret: secret.reveal(),
            active: webhook.active,
            version: webhook.version,
            created_by: &webhook.created_by,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        })?;
        Ok(())
    }

    pub async fn webhook(&mut self, id: Uuid) -> Result<Option<Webhook>, StorageError> {
        let query = concat!("select ", webhook_columns!(webhook), " from webhook where id = $1");
        optional!(self, query, id)
    }

    /// Lists webhooks after a name's key, in the order of the keys.
    pub async fn webhooks_after(
        &mut self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Webhook>, StorageError> {
        all!(
            self,
            concat!(
                "select ",
                webhook_columns!(webhook),
                " from webhook where name_key collate \"C\" > $1 order by name_key collate \"C\" limit $2"
            ),
            after,
            limit
        )
    }

    /// Lists the webhooks that events are sent to.
    pub async fn active_webhooks(&mut self) -> Result<Vec<(Uuid,)>, StorageError> {
        all!(self, "select id from webhook where active order by id")
    }

    pub async fn count_webhooks(&mut self) -> Result<i64, StorageError> {
        value!(self, "select count(*) from webhook")
    }

    /// Keeps others from changing the webhook until the end of this transaction.
    pub async fn lock_webhook(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "update webhook set version = version where id = $1", id)?;
        Ok(())
    }

    /// Writes what may be changed of a webhook.
    pub async fn update_webhook(&mut self, webhook: &Webhook) -> Result<(), StorageError> {
        execute!(
            self,
            "update webhook set url = $2, types = $3, images = $4, active = $5, ended = $6, version = $7, \
             updated_at = $8 where id = $1",
            webhook.id,
            &webhook.url,
            Json(&webhook.types),
            Json(&webhook.images),
            webhook.active,
            &webhook.ended,
            webhook.version,
            webhook.updated_at
        )?;
        Ok(())
    }

    /// Gives a webhook another secret. The old one stays beside it until `until`.
    pub async fn rotate_webhook_secret(
        &mut self,
        id: Uuid,
        secret: &WebhookSecret,
        until: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        execute!(
            self,
            "update webhook set old_secret = secret, old_secret_until = $3, secret = $2 where id = $1",
            id,
            secret.reveal(),
            until
        )?;
        Ok(())
    }

    pub async fn webhook_secrets(
        &mut self,
        id: Uuid,
    ) -> Result<Option<StoredSecrets>, StorageError> {
        optional!(
            self,
            "select secret, old_secret, old_secret_until from webhook where id = $1",
            id
        )
    }

    /// Removes a webhook with its deliveries.
    pub async fn delete_webhook(&mut self, id: Uuid) -> Result<(), StorageError> {
        execute!(self, "delete from delivery where webhook_id = $1", id)?;
        execute!(self, "delete from webhook_place where webhook_id = $1", id)?;
        execute!(self, "delete from webhook where id = $1", id)?;
        Ok(())
    }
}
