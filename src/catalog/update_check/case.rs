//! A question together with what the snapshot says about its image and channel.

use chrono::{DateTime, Utc};

use crate::catalog::snapshot::{ImageOffer, Offer, Standing};
use crate::model::rollout::Bucket;
use crate::model::{ChannelName, ClientGroup, ClientId, Promotion};
use crate::rollout::Schedule;
use crate::rollout::bucket::bucket;

/// The question of a client.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The revision that the client has; 0 if it has none.
    pub current: i64,
    pub client: Option<&'a ClientId>,
    pub group: Option<&'a ClientGroup>,
    pub now: DateTime<Utc>,
}

/// A question together with what the snapshot says about its image and channel.
#[derive(Clone, Copy)]
pub(super) struct Case<'a, 'q> {
    pub(super) image: &'a ImageOffer,
    pub(super) standing: Standing<'a>,
    pub(super) channel: &'q ChannelName,
    pub(super) question: Question<'q>,
}

impl<'a, 'q> Case<'a, 'q> {
    pub(super) fn new(
        image: &'a ImageOffer,
        channel: &'q ChannelName,
        question: Question<'q>,
    ) -> Self {
        Self { image, standing: image.standing(channel), channel, question }
    }

    pub(super) fn offer(&self) -> Option<&'a Offer> {
        match self.standing {
            Standing::Offered(offer) => Some(offer),
            Standing::Withdrawn(_) | Standing::Unknown => None,
        }
    }

    pub(super) fn schedule(&self) -> Option<Schedule<'a>> {
        self.offer().map(|offer| Schedule::of(&offer.promotion))
    }

    pub(super) fn bucket(&self) -> Bucket {
        self.offer().map_or(Bucket::LAST, |offer| bucket(offer.promotion.id, self.question.client))
    }

    pub(super) fn latest(&self) -> Option<&'a Promotion> {
        match self.standing {
            Standing::Offered(offer) => Some(&offer.promotion),
            Standing::Withdrawn(withdrawal) => Some(withdrawal),
            Standing::Unknown => None,
        }
    }
}
