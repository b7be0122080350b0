//! Events: what people and programs are told of, their types, and the ids by which readers go on.
//!
//! Their words are stable: programs compare them. The catalog decides which change is which event, and the API who may
//! read it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::name::ImageName;
use super::pattern;
use super::row::{from_row, stored_as_text};

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident $word:literal,)+) => {
        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl EventType {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

event_types! {
    ImageCreated "image.created",
    ImageChanged "image.changed",
    ImageDeleted "image.deleted",
    RevisionSealed "revision.sealed",
    RevisionRevoked "revision.revoked",
    RevisionDeleted "revision.deleted",
    RevisionQuarantined "revision.quarantined",
    RevisionHealed "revision.healed",
    ChannelPromoted "channel.promoted",
    ChannelRolledBack "channel.rolled_back",
    ChannelWithdrawn "channel.withdrawn",
    ChannelRolloutChanged "channel.rollout_changed",
    ChannelStepReached "channel.step_reached",
    /// The failures that clients reported have stopped a rollout.
    ChannelHalted "channel.halted",
    ChannelApproved "channel.approved",
    /// A file is in the tree.
    PublicationDone "publication.done",
    /// The tree could not be brought up to date. Further attempts that fail are no further events.
    PublicationFailed "publication.failed",
    UploadFinished "upload.finished",
    UploadExpired "upload.expired",
    /// A client reported a failure that counts.
    ClientFailed "client.failed",
    /// Refused log-ins; equal ones are counted in one event.
    LoginRefused "login.refused",
    ScrubDamageFound "scrub.damage_found",
    BackupDone "backup.done",
    BackupFailed "backup.failed",
    /// A disk has less free space than it should have.
    StorageLow "storage.low",
}

stored_as_text!(EventType);

impl EventType {
    /// Reports whether readers may see it: events of images and channels. All others are for administrators.
    pub fn is_for_readers(self) -> bool {
        ["image", "revision", "channel"].contains(&noun_of(self.as_str()))
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

fn noun_of(word: &str) -> &str {
    word.split('.').next().unwrap_or_default()
}

/// An event that the transaction under way makes. It gets its place with the commit.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub kind: EventType,
    pub at: DateTime<Utc>,
    pub actor: String,
    /// The path of the resource below `/api/v1`.
    pub subject: String,
    pub place: EventPlace,
    /// An object with details of this type of event.
    pub data: Value,
}

/// The image, channel and revision of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPlace {
    pub image: Option<String>,
    pub channel: Option<String>,
    pub revision: Option<i64>,
}

from_row!(EventPlace { image, channel, revision });

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct Event {
    pub position: i64,
    /// The word of the type. A newer version of the program may write types that this one does not know.
    pub kind: String,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub subject: String,
    pub place: EventPlace,
    pub data: Value,
}

from_row!(Event { position, kind, at, actor, subject, place: flatten, data: json });

impl Event {
    /// Reports whether readers may see it. A type that this version does not know is for administrators.
    pub fn is_for_readers(&self) -> bool {
        EventType::of(&self.kind).is_some_and(EventType::is_for_readers)
    }

    /// Reports whether somebody who is confined to images of these patterns may know of it. No patterns mean all images.
    pub fn concerns(&self, patterns: &[String]) -> bool {
        let image = self.place.image.as_deref().and_then(|name| name.parse::<ImageName>().ok());
        patterns.is_empty() || image.is_some_and(|image| pattern::covers(patterns, &image))
    }

    /// Returns the event as readers get it.
    pub fn to_json(&self, generation: Generation) -> String {
        let id = EventId { generation, position: self.position }.to_string();
        let EventPlace { image, channel, revision } = &self.place;
        let shown = ShownEvent {
            id: &id,
            kind: &self.kind,
            time: self.at,
            actor: &self.actor,
            subject: &self.subject,
            image: image.as_deref(),
            channel: channel.as_deref(),
            revision: *revision,
            data: &self.data,
        };
        // It has only texts and numbers, and keys that are texts.
        serde_json::to_string(&shown).unwrap_or_default()
    }
}

/// The form in which readers of streams and webhooks get an event.
#[derive(Serialize)]
struct ShownEvent<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    time: DateTime<Utc>,
    actor: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    data: &'a Value,
}

/// The mark of one catalog's events, which a restored or moved catalog does not have: it counts from the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// Returns the mark that the catalog's stored id stands for. Before the first event there is none.
    pub fn of(id: Option<Uuid>) -> Self {
        // The last bits of an id are random.
        let bits = id.unwrap_or_default().as_u128() & u128::from(u32::MAX);
        Self(u32::try_from(bits).unwrap_or_default())
    }
}

/// The newest place of a catalog's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventHead {
    pub position: i64,
    pub generation: Option<Uuid>,
}

from_row!(EventHead { position, generation });

impl EventHead {
    /// Returns the id of the newest event.
    pub fn id(&self) -> EventId {
        EventId { generation: Generation::of(self.generation), position: self.position }
    }
}

/// The id of an event, by which a reader goes on after it: `8f3a52c1-4711`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    pub generation: Generation,
    pub position: i64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.generation.0, self.position)
    }
}

/// The error for a text that is no event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of an event")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (generation, position) = text.split_once('-').ok_or(NoEventId)?;
        let generation = u32::from_str_radix(generation, 16).map_err(|_| NoEventId)?;
        let position = position.parse::<u64>().map_err(|_| NoEventId)?;
        let position = position.try_into().map_err(|_| NoEventId)?;
        Ok(Self { generation: Generation(generation), position })
    }
}

/// A choice of types: words (`image.created`), whole nouns (`channel.*`), or all (`*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypes(Vec<String>);

/// The error for a word that no type has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a type of events, nor a noun with .* behind it, such as channel.*")]
pub struct NoSuchType(String);

impl EventTypes {
    /// Reads words; none of them mean all types.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, NoSuchType> {
        let mut types = Vec::new();
        for word in words {
            let noun = word.strip_suffix(".*");
            let is_noun =
                |kind: &EventType| noun.is_some_and(|noun| noun_of(kind.as_str()) == noun);
            let is_known =
                word == "*" || EventType::of(word).is_some() || EventType::ALL.iter().any(is_noun);
            if !is_known {
                return Err(NoSuchType(word.chars().take(100).collect()));
            }
            if !types.iter().any(|known| known == word) {
                types.push(word.to_owned());
            }
        }
        Ok(Self(types))
    }

    /// Returns the choice that was stored.
    pub fn stored(words: Vec<String>) -> Self {
        Self(words)
    }

    pub fn words(&self) -> &[String] {
        &self.0
    }

    pub fn include(&self, kind: &str) -> bool {
        let fits = |word: &String| {
            word == "*" || word == kind || word.strip_suffix(".*") == Some(noun_of(kind))
        };
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_same_word_in_rows_and_in_answers() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(EventType::of(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn a_choice_takes_words_and_nouns_and_nothing_else() {
        let read = |words: &[&str]| EventTypes::read(words.iter().copied());
        let types = read(&["channel.*", "image.created"]).unwrap();
        assert!(types.include("channel.halted") && types.include("image.created"));
        assert!(!types.include("image.deleted") && !types.include("login.refused"));
        assert!(read(&[]).unwrap().include("anything") && read(&["*"]).unwrap().include("x"));
        for word in ["channels.*", "channel", "", "image.*.*", "*.created", "Image.created"] {
            assert_eq!(read(&[word]), Err(NoSuchType(word.to_owned())));
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let generation = Generation::of(Some(Uuid::from_u128(0xabcd)));
        let id = EventId { generation, position: 4711 };
        assert_eq!(id.to_string(), "0000abcd-4711");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "4711", "x-1", "0000abcd--1", "0000abcd-99999999999999999999"] {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text}");
        }
    }
}
