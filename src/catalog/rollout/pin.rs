//! Pins: a client's own revision in a channel, whatever is assigned there. A pin counts only while its revision is ready.

use serde::Serialize;

use crate::catalog::audit::{Entry, NOTHING};
use crate::catalog::channel::{living_channel, locked_channel};
use crate::catalog::image::{living_image, locked_image};
use crate::catalog::promotion::{promotable_channel, ready_revision};
use crate::catalog::{Actor, Catalog, Error, Result};
use crate::model::{Channel, ChannelName, ClientId, Image, ImageName, Pin};

/// The audit's record of a pin.
#[derive(Serialize)]
struct Recorded<'a> {
    revision: i64,
    note: &'a str,
}

impl<'a> Recorded<'a> {
    fn of(pin: &'a Pin) -> Self {
        Self { revision: pin.revision, note: &pin.note }
    }
}

fn entry<'a>(
    action: &'static str,
    actor: &'a Actor,
    (image, channel): (&Image, &Channel),
    client: &ClientId,
) -> Entry<'a> {
    let subject = format!("images/{}/channels/{}/pins/{client}", image.name, channel.name);
    Entry { action, subject, actor }
}

impl Catalog {
    /// Gives a client a revision of its own. Returns the pin, and whether it is new.
    pub async fn pin(
        &self,
        actor: &Actor,
        (image, channel): (&ImageName, &ChannelName),
        client: &ClientId,
        (revision, note): (i64, String),
    ) -> Result<(Pin, bool)> {
        if note.len() > 10_000 {
            return Err(Error::invalid("note", "must have at most 10,000 bytes"));
        }
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = promotable_channel(&mut tx, actor, channel).await?;
        let revision = ready_revision(&mut tx, image.clone(), revision).await?;
        self.check_no_older_replica(&mut tx).await?;
        let before = tx.pin(image.id, channel.id, &client.key()).await?;
        let pin = Pin {
            image_id: image.id,
            channel_id: channel.id,
            client: client.clone(),
            revision_id: revision.id,
            revision: revision.number,
            note,
            created_by: actor.name.clone(),
            created_at: self.clock.now(),
        };
        tx.put_pin(&pin).await?;
        let entry = entry("channel.pin", actor, (&image, &channel), client);
        let from = before.as_ref().map(Recorded::of);
        self.audit(&mut tx, entry, from.as_ref(), Some(&Recorded::of(&pin)));
        self.show(tx, image.id, crate::catalog::Execution::Real).await?;
        Ok((pin, before.is_none()))
    }

    /// Lets a client follow the channel again.
    pub async fn unpin(
        &self,
        actor: &Actor,
        (image, channel): (&ImageName, &ChannelName),
        client: &ClientId,
    ) -> Result<()> {
        let mut tx = self.db.write_to_free().await?;
        let image = locked_image(&mut tx, image).await?;
        let channel = locked_channel(&mut tx, channel).await?;
        if !actor.may_promote_to(&channel) {
            return Err(Error::Forbidden(
                "none of your roles is among the promoters of this channel",
            ));
        }
        let before =
            tx.pin(image.id, channel.id, &client.key()).await?.ok_or(Error::PinNotFound)?;
        tx.delete_pin(image.id, channel.id, &client.key()).await?;
        let entry = entry("channel.unpin", actor, (&image, &channel), client);
        self.audit(&mut tx, entry, Some(&Recorded::of(&before)), NOTHING);
        self.show(tx, image.id, crate::catalog::Execution::Real).await
    }

    /// Returns the pins of an image in a channel after the given client, in the order of the clients' ids.
    pub async fn pins(
        &self,
        image: &ImageName,
        channel: &ChannelName,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Pin>> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let channel = living_channel(&mut tx, channel).await?;
        Ok(tx.pins(image.id, channel.id, after, limit).await?)
    }

    /// Returns a client's pin.
    pub async fn pin_of(
        &self,
        image: &ImageName,
        channel: &ChannelName,
        client: &ClientId,
    ) -> Result<Pin> {
        let mut tx = self.db.read().await?;
        let image = living_image(&mut tx, image).await?;
        let channel = living_channel(&mut tx, channel).await?;
        tx.pin(image.id, channel.id, &client.key()).await?.ok_or(Error::PinNotFound)
    }
}
