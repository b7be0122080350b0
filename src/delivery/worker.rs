//! The work of delivery. One server does it for all (`catalog::job`), for each webhook by itself, so that a slow
//! receiver delays no other one.
//!
//! Whatever is interrupted is done again: an attempt counts once its outcome is recorded.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::sender::{Message, Sender};
use crate::catalog::events::feed::Fed;
use crate::catalog::job::{Done, Round, Trigger};
use crate::catalog::webhooks::queue::Next;
use crate::catalog::{Catalog, Result};
use crate::model::{Delivery, Job, Webhook};

/// The interval at which a server looks whether it has to take over, and for new webhooks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pause after a failure of the database.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The answer by which a receiver says that it wants no more.
const GONE: u16 = 410;

/// Delivers whenever no other server does, until cancelled.
pub async fn keep_delivering(catalog: Catalog, sender: Sender) {
    loop {
        let serving = serve(&catalog, &sender);
        let round = catalog.do_round(Job::Deliver, Trigger::Now, TRY_AGAIN, serving).await;
        match round {
            Ok(Round::NotBefore(at)) => sleep(catalog.until(at).max(LOOK_EVERY)).await,
            Ok(Round::Done(())) => {}
            Err(error) => {
                tracing::debug!(%error, "the delivery of events was interrupted");
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Serves all webhooks. It does not end while this server has the job.
async fn serve(catalog: &Catalog, sender: &Sender) -> Result<Done<()>> {
    let (mut tasks, mut served) = (JoinSet::new(), HashMap::new());
    loop {
        for id in catalog.active_webhooks().await? {
            if !served.values().any(|served| *served == id) {
                let (catalog, sender) = (catalog.clone(), sender.clone());
                let task = tasks.spawn(async move { follow(&catalog, &sender, id).await });
                served.insert(task.id(), id);
            }
        }
        while let Some(ended) = tasks.try_join_next_with_id() {
            // One that panicked, which is in the log, begins again.
            let task = ended.map_or_else(|error| error.id(), |(task, ())| task);
            served.remove(&task);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Sends to one webhook what is due, until it is over.
async fn follow(catalog: &Catalog, sender: &Sender, id: Uuid) {
    // Before the rows are read, so that no news is missed.
    let mut fed = catalog.event_feed().subscribe();
    loop {
        match catalog.next_for_webhook(id).await {
            Ok(Next::Over) => return,
            Ok(Next::Send(next)) => {
                let (webhook, delivery) = *next;
                if let Err(error) = attempt(catalog, sender, &webhook, delivery).await {
                    tracing::warn!(%error, webhook = %webhook.name,
                        "the outcome of a delivery could not be recorded; it is sent again");
                    sleep(TRY_AGAIN).await;
                }
            }
            Ok(Next::Wait(until)) => wait(catalog, &mut fed, until).await,
            Err(_) => sleep(TRY_AGAIN).await,
        }
    }
}

async fn attempt(
    catalog: &Catalog,
    sender: &Sender,
    webhook: &Webhook,
    delivery: Delivery,
) -> Result<()> {
    let message = Message { id: &delivery.event_id, body: &delivery.body };
    let attempt = sender.send(webhook, message).await?;
    let is_gone = attempt.status == Some(GONE);
    catalog.note_attempt(delivery, &attempt).await?;
    if is_gone {
        catalog.end_webhook(webhook.id, "the receiver answered 410: it is gone for good").await?;
        tracing::warn!(webhook = %webhook.name, "the receiver answered 410, so nothing more is sent to it");
    }
    Ok(())
}

/// Waits until `until`, or for news. It also looks now and then: somebody may have changed the webhook.
async fn wait(catalog: &Catalog, fed: &mut Receiver<Fed>, until: Option<DateTime<Utc>>) {
    const AT_MOST: Duration = Duration::from_secs(10);
    let pause = until.map_or(AT_MOST, |until| catalog.until(until).min(AT_MOST));
    let news = async {
        // What was sent meanwhile is one piece of news.
        let _any = fed.recv().await;
        while fed.try_recv().is_ok() {}
    };
    let _either = timeout(pause, news).await;
}
