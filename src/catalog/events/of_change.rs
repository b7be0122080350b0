//! Which changes are events: a table from the audit's actions, and what an event takes from an audit row.

use serde_json::{Map, Value};

use crate::model::EventType;
use crate::model::event::EventPlace;

/// Returns the type of event that an action of the audit is, if people are told of it.
pub(crate) fn event_type(action: &str) -> Option<EventType> {
    Some(match action {
        "image.create" => EventType::ImageCreated,
        "image.change" => EventType::ImageChanged,
        "image.delete" => EventType::ImageDeleted,
        "revision.seal" => EventType::RevisionSealed,
        "revision.revoke" => EventType::RevisionRevoked,
        "revision.delete" | "revision.expire" => EventType::RevisionDeleted,
        "revision.quarantine" => EventType::RevisionQuarantined,
        "revision.heal" => EventType::RevisionHealed,
        "channel.promote" => EventType::ChannelPromoted,
        "channel.rollback" => EventType::ChannelRolledBack,
        "channel.withdraw" => EventType::ChannelWithdrawn,
        "channel.rollout_change" => EventType::ChannelRolloutChanged,
        "channel.step_reached" => EventType::ChannelStepReached,
        "channel.halt" => EventType::ChannelHalted,
        "channel.approve" => EventType::ChannelApproved,
        "file.put" | "file.heal" => EventType::UploadFinished,
        "login.refuse" => EventType::LoginRefused,
        _ => return None,
    })
}

/// Returns the image, channel and revision that a change concerns, from the path of its resource and its states.
pub(crate) fn place(subject: &str, before: Option<&Value>, after: Option<&Value>) -> EventPlace {
    let mut words = subject.split('/');
    let mut place = EventPlace::default();
    if words.next() != Some("images") {
        return place;
    }
    place.image = words.next().map(str::to_owned);
    match (words.next(), words.next()) {
        (Some("revisions"), Some(number)) => place.revision = number.parse().ok(),
        (Some("channels"), Some(channel)) => {
            place.channel = Some(channel.to_owned());
            let revision = |state: Option<&Value>| state?.get("revision")?.as_i64();
            place.revision = revision(after).or_else(|| revision(before));
        }
        _ => {}
    }
    place
}

/// Returns the details of an event: what the audit keeps of the states.
pub(crate) fn data(before: Option<&Value>, after: Option<&Value>) -> Value {
    let states = [("before", before), ("after", after)];
    let known =
        states.into_iter().filter_map(|(name, state)| Some((name.to_owned(), state?.clone())));
    Value::Object(known.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(
        subject: &str,
        before: &Value,
        after: &Value,
    ) -> (Option<String>, Option<String>, Option<i64>) {
        let EventPlace { image, channel, revision } = place(subject, Some(before), Some(after));
        (image, channel, revision)
    }

    #[test]
    fn the_place_is_in_the_path_and_a_channel_s_revision_in_its_state() {
        let (old, new, none) =
            (json!({"revision": 3}), json!({"revision": 4}), json!({"revision": null}));
        let named = |text: &str| Some(text.to_owned());
        assert_eq!(of("images/a/channels/b", &old, &new), (named("a"), named("b"), Some(4)));
        assert_eq!(of("images/a/channels/b", &old, &none), (named("a"), named("b"), Some(3)));
        assert_eq!(of("images/a/revisions/7", &old, &new), (named("a"), None, Some(7)));
        assert_eq!(of("images/a", &old, &new), (named("a"), None, None));
        assert_eq!(of("logins", &old, &new), (None, None, None));
    }
}
