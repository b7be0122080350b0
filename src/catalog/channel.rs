//! Channels: the rings that a revision passes through, each with a folder of the tree.

use serde::Serialize;

use super::audit::{Entry, NOTHING};
use super::{Actor, Catalog, Error, Precondition, Result};
use crate::model::channel::{PRODUCTION, date_of_next};
use crate::model::folder_document::is_file_like;
use crate::model::{Channel, ChannelName, ReadAccess, Role};
use crate::storage::{Change, Tx};
use crate::trust::role::FOLDER;

/// The settings of a channel. `None` is the default at creation, and leaves a field as it is in a change.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ChannelSettings {
    pub folder: Option<String>,
    pub read: Option<ReadAccess>,
    pub keep_old: Option<i64>,
    pub tree_during_rollout: Option<bool>,
    pub promoters: Option<Vec<Role>>,
    /// `Some(None)` removes the requirement.
    pub requires_channel: Option<Option<ChannelName>>,
    pub approvals: Option<i64>,
}

/// The reaction to the deletion of a channel to which images are promoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfInUse {
    /// The channel is not deleted.
    #[default]
    Refuse,
    /// The channel is deleted, and the images are removed from its folder.
    Withdraw,
}

impl Channel {
    fn settings(&self) -> ChannelSettings {
        ChannelSettings {
            folder: Some(self.folder.clone()),
            read: Some(self.read_access),
            keep_old: Some(self.keep_old),
            tree_during_rollout: Some(self.tree_during_rollout),
            promoters: Some(self.promoters.clone()),
            requires_channel: Some(self.requires_channel.clone()),
            approvals: Some(self.approvals),
        }
    }

    fn apply(&mut self, settings: ChannelSettings) {
        self.folder = settings.folder.unwrap_or_else(|| self.folder.clone());
        self.read_access = settings.read.unwrap_or(self.read_access);
        self.keep_old = settings.keep_old.unwrap_or(self.keep_old);
        self.tree_during_rollout = settings.tree_during_rollout.unwrap_or(self.tree_during_rollout);
        self.promoters = settings.promoters.unwrap_or_else(|| self.promoters.clone());
        self.requires_channel =
            settings.requires_channel.unwrap_or_else(|| self.requires_channel.clone());
        self.approvals = settings.approvals.unwrap_or(self.approvals);
    }
}

impl Catalog {
    pub async fn create_channel(
        &self,
        actor: &Actor,
        name: ChannelName,
        settings: ChannelSettings,
    ) -> Result<Channel> {
        let mut tx = self.db.write().await?;
        tx.lock_catalog_version().await?;
        let channel = self.insert_channel(&mut tx, actor, name, settings).await?;
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(channel)
    }

    pub(super) async fn insert_channel(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        name: ChannelName,
        settings: ChannelSettings,
    ) -> Result<Channel> {
        let now = self.clock.now();
        let mut channel = Channel {
            id: self.ids.next(),
            folder: if name.as_str() == PRODUCTION { String::new() } else { name.to_string() },
            name,
            read_access: ReadAccess::Everyone,
            keep_old: 1,
            tree_during_rollout: false,
            promoters: Vec::new(),
            requires_channel: None,
            approvals: 0,
            // Readers of the manifest of an earlier channel in this folder refuse a lower number.
            sequence: tx.highest_channel_sequence().await? + 1,
            issued_at: now,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        channel.apply(settings);
        check(tx, &channel).await?;
        tx.insert_channel(&channel)
            .await
            .map_err(|error| Error::name_taken(&channel.name, error))?;
        let after = channel.settings();
        self.audit(tx, entry("channel.create", actor, &channel), NOTHING, Some(&after));
        Ok(channel)
    }

    pub async fn channel(&self, name: &ChannelName) -> Result<Channel> {
        living_channel(&mut self.db.read().await?, name).await
    }

    /// Returns all channels. An organisation has only a few.
    pub async fn channels(&self) -> Result<Vec<Channel>> {
        Ok(self.db.read().await?.channels().await?)
    }

    pub async fn change_channel(
        &self,
        actor: &Actor,
        name: &ChannelName,
        settings: ChannelSettings,
        condition: &Precondition,
    ) -> Result<Channel> {
        let mut tx = self.db.write().await?;
        let mut channel = locked_channel(&mut tx, name).await?;
        tx.lock_catalog_version().await?;
        condition.check(Some(&channel.tag()))?;
        let before = channel.settings();
        channel.apply(settings);
        let after = channel.settings();
        self.audit(&mut tx, entry("channel.change", actor, &channel), Some(&before), Some(&after));
        check(&mut tx, &channel).await?;
        channel.version += 1;
        channel.updated_at = self.clock.now();
        channel.sequence = tx.highest_channel_sequence().await? + 1;
        channel.issued_at = date_of_next(channel.issued_at, channel.updated_at);
        tx.update_channel(&channel)
            .await
            .map_err(|error| Error::name_taken(&channel.folder, error))?;
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(channel)
    }

    /// Deletes a channel. If images are promoted to it, `if_in_use` decides.
    pub async fn delete_channel(
        &self,
        actor: &Actor,
        name: &ChannelName,
        condition: &Precondition,
        if_in_use: IfInUse,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let channel = locked_channel(&mut tx, name).await?;
        tx.lock_catalog_version().await?;
        condition.check(Some(&channel.tag()))?;
        check_not_required(&mut tx, &channel).await?;
        let images = tx.count_assigned(channel.id).await?;
        if images > 0 && if_in_use == IfInUse::Refuse {
            return Err(Error::ChannelInUse { images });
        }
        tx.delete_channel(channel.id, self.clock.now()).await?;
        let before = channel.settings();
        self.audit(&mut tx, entry("channel.delete", actor, &channel), Some(&before), NOTHING);
        tx.raise_catalog_version(Change::Channels).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }
}

pub(super) async fn living_channel(tx: &mut Tx, name: &ChannelName) -> Result<Channel> {
    tx.channel_by_key(&name.key()).await?.ok_or(Error::ChannelNotFound)
}

/// Returns the channel, locked against other changes, including promotions to it, until the commit.
pub(super) async fn locked_channel(tx: &mut Tx, name: &ChannelName) -> Result<Channel> {
    let found = living_channel(tx, name).await?;
    tx.lock_channel(found.id).await?;
    // Read again under the lock: another replica may have changed it while this one waited.
    let channel = living_channel(tx, name).await?;
    if channel.id == found.id { Ok(channel) } else { Err(Error::ChannelNotFound) }
}

/// Refuses the deletion of a channel that another one requires: nothing could be promoted to that one any more.
async fn check_not_required(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let channels = tx.channels().await?;
    let by = channels.into_iter().find(|other| {
        other.requires_channel.as_ref().is_some_and(|name| name.key() == channel.name.key())
    });
    by.map_or(Ok(()), |by| Err(Error::ChannelIsRequired { by: by.name }))
}

fn entry<'a>(action: &'static str, actor: &'a Actor, channel: &Channel) -> Entry<'a> {
    Entry { action, subject: format!("channels/{}", channel.name), actor }
}

/// Checks the settings. A folder is the root or one plain folder below it. It is not nested in another channel's
/// folder, and does not have a name that imagedepot reserves for files of the tree.
async fn check(tx: &mut Tx, channel: &Channel) -> Result<()> {
    let folder = &channel.folder;
    if !folder.is_empty() {
        folder.parse::<ChannelName>().map_err(|_| {
            Error::invalid(
                "folder",
                "must be empty for the tree's root, or one plain folder name without slashes",
            )
        })?;
        if is_file_like(folder) {
            return Err(Error::invalid("folder", "must not end like a file in the tree"));
        }
    }
    let others = tx.channels().await?;
    // A channel from before the name was reserved keeps its folder, and the tree goes without what needs the name.
    let has_it = others.iter().any(|other| other.id == channel.id && other.folder == *folder);
    if folder.eq_ignore_ascii_case(FOLDER) && !has_it {
        return Err(Error::invalid("folder", "is reserved for the signed metadata of the tree"));
    }
    for other in others {
        if other.id != channel.id && other.folder.eq_ignore_ascii_case(folder) {
            return Err(Error::NameTaken(format!("of the folder {folder:?}")));
        }
    }
    if !(0..=1000).contains(&channel.keep_old) {
        return Err(Error::invalid("keep_old", "must be from 0 to 1,000"));
    }
    if !(0..=10).contains(&channel.approvals) {
        return Err(Error::invalid("approvals", "must be from 0 to 10"));
    }
    if let Some(required) = &channel.requires_channel {
        let known = tx
            .channel_by_key(&required.key())
            .await?
            .is_some_and(|required| required.id != channel.id);
        if !known {
            return Err(Error::invalid("requires_channel", "must be another existing channel"));
        }
    }
    Ok(())
}
