//! The steps that time completes: each is told to the readers of the tree, and the folder moves to the revision when its rollout
//! has reached all clients. Update checks need none of this, because they ask the time themselves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::catalog::audit::Entry;
use crate::catalog::channel::locked_channel;
use crate::catalog::image::locked_image;
use crate::catalog::{Actor, Catalog, Result};
use crate::model::{ChannelName, ImageName, Promotion};
use crate::rollout::Schedule;
use crate::storage::{Change, Tx};

/// The interval at which a server looks for steps that have come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Records what time has completed, and returns whether anything has changed. A rollout that is stopped completes
/// nothing.
pub(in crate::catalog) fn settle(promotion: &mut Promotion, now: DateTime<Utc>) -> bool {
    let schedule = Schedule::of(promotion);
    let (come, is_complete) = (schedule.steps_come(now), schedule.is_complete(now));
    let is_stopped = schedule.is_stopped();
    let progress = &mut promotion.progress;
    let completes = progress.under_way && is_complete;
    let steps = come != progress.steps_told && !is_stopped;
    if completes {
        progress.under_way = false;
    }
    if steps {
        progress.steps_told = come;
    }
    completes || steps
}

/// A rollout that a step has come for.
struct Due {
    image: ImageName,
    channel: ChannelName,
    promotion: Uuid,
}

impl Catalog {
    /// Records what time had completed of a promotion that is about to be replaced. One that was not complete never
    /// becomes the assignment before.
    pub(in crate::catalog) async fn settle_replaced(
        &self,
        tx: &mut Tx,
        current: &Promotion,
    ) -> Result<()> {
        let mut current = current.clone();
        if settle(&mut current, self.clock.now()) {
            tx.update_rollout(&current).await?;
        }
        Ok(())
    }

    /// Puts steps into effect when their time has come, until cancelled. Every server does it; the first one that comes
    /// leaves nothing to do for the others.
    pub async fn follow_rollouts(&self) {
        let mut has_failed = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let done = self.put_due_steps_into_effect().await;
            if let Err(error) = &done
                && !has_failed
            {
                tracing::warn!(
                    %error,
                    "a step of a rollout could not be recorded; clients are answered by it nevertheless"
                );
            }
            has_failed = done.is_err();
        }
    }

    async fn put_due_steps_into_effect(&self) -> Result<()> {
        for due in self.due_steps() {
            self.put_step_into_effect(&due).await?;
        }
        Ok(())
    }

    fn due_steps(&self) -> Vec<Due> {
        let (snapshot, now) = (self.snapshot().clone(), self.clock.now());
        let mut due = Vec::new();
        for (image, channel, promotion) in snapshot.rollouts_under_way() {
            if settle(&mut promotion.clone(), now) {
                let (image, channel) = (image.clone(), channel.clone());
                due.push(Due { image, channel, promotion: promotion.id });
            }
        }
        due
    }

    async fn put_step_into_effect(&self, due: &Due) -> Result<()> {
        let mut tx = self.db.write().await?;
        let image = locked_image(&mut tx, &due.image).await?;
        let channel = locked_channel(&mut tx, &due.channel).await?;
        let Some(mut promotion) = tx.assigned(image.id, channel.id).await? else { return Ok(()) };
        let (was_under_way, now) = (promotion.progress.under_way, self.clock.now());
        if promotion.id != due.promotion || !settle(&mut promotion, now) {
            return Ok(());
        }
        tx.update_rollout(&promotion).await?;
        if channel.tree_during_rollout || was_under_way != promotion.progress.under_way {
            tx.raise_channel_sequence(channel.id, now).await?;
        }
        let actor = Actor::system("rollout");
        let entry = Entry {
            action: "channel.step_reached",
            subject: format!("images/{}/channels/{}", image.name, channel.name),
            actor: &actor,
        };
        let percent = Schedule::of(&promotion).share(None, now);
        let after = serde_json::json!({
            "revision": promotion.revision, "epoch": promotion.epoch, "percent": percent,
            "complete": !promotion.progress.under_way,
        });
        self.audit(&mut tx, entry, crate::catalog::audit::NOTHING, Some(&after));
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        Ok(())
    }
}
