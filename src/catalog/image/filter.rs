//! The conditions of a list of images. They are compared with each image that is read, because labels are stored as one
//! document and the assignments are in the snapshot.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::catalog::snapshot::Snapshot;
use crate::catalog::{Catalog, Error, Result};
use crate::model::refusal::Refusal;
use crate::model::{ChannelName, Image, ImageKind, ImageName, Labels, pattern};

/// The conditions that a caller gives. All of them have to hold.
#[derive(Debug, Default)]
pub struct ImageConditions {
    pub name: Option<NamePattern>,
    pub kind: Option<ImageKind>,
    pub labels: Vec<LabelCondition>,
    /// A channel to which a revision of the image is assigned.
    pub channel: Option<ChannelName>,
}

/// A pattern of image names, with `*` for any run of characters. Case is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    fn matches(&self, name: &ImageName) -> bool {
        pattern::matches_any_case(&self.0, name.as_str())
    }
}

impl FromStr for NamePattern {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let is_meant = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        if (1..=100).contains(&text.len()) && text.chars().all(is_meant) {
            return Ok(Self(text.to_owned()));
        }
        let rule =
            "a pattern of image names must have 1 to 100 letters, digits, '.', '_', '-' or '*'";
        Err(Refusal::new("name", rule))
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|refusal: Refusal| serde::de::Error::custom(refusal.rule))
    }
}

/// A label as `key:value`. Keys and values may contain colons, so the text is compared as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCondition(String);

impl FromStr for LabelCondition {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text.split_once(':') {
            Some((key, _)) if !key.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(Refusal::new("label", "a label must have the form key:value")),
        }
    }
}

impl LabelCondition {
    fn is_met_by(&self, labels: &Labels) -> bool {
        labels.iter().any(|(key, value)| {
            let value_of =
                self.0.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix(':'));
            value_of == Some(value.as_str())
        })
    }
}

/// Conditions with the moment that the assignments are compared with.
pub struct ImageFilter {
    conditions: ImageConditions,
    snapshot: Arc<Snapshot>,
}

impl Catalog {
    /// Prepares a list. Returns [`Error::ChannelNotFound`] for a channel that does not exist.
    pub fn image_filter(&self, conditions: ImageConditions) -> Result<ImageFilter> {
        let snapshot = Arc::clone(&self.snapshot());
        match &conditions.channel {
            Some(channel) if snapshot.channel(channel).is_none() => Err(Error::ChannelNotFound),
            Some(_) | None => Ok(ImageFilter { conditions, snapshot }),
        }
    }
}

impl ImageFilter {
    /// Reports whether the image meets all conditions.
    pub fn covers(&self, image: &Image) -> bool {
        let ImageConditions { name, kind, labels, channel } = &self.conditions;
        name.as_ref().is_none_or(|name| name.matches(&image.name))
            && kind.is_none_or(|kind| image.kind == kind)
            && labels.iter().all(|label| label.is_met_by(&image.labels))
            && channel.as_ref().is_none_or(|channel| self.is_assigned(image, channel))
    }

    fn is_assigned(&self, image: &Image, channel: &ChannelName) -> bool {
        self.snapshot.image(&image.name).and_then(|image| image.offer(channel)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared_as_a_whole() {
        let labels =
            Labels::from([("a".to_owned(), "b:c".to_owned()), ("url".to_owned(), String::new())]);
        let is_met = |text: &str| text.parse::<LabelCondition>().unwrap().is_met_by(&labels);
        assert!(is_met("a:b:c") && is_met("url:"));
        assert!(!is_met("a:b") && !is_met("a:b:c:d") && !is_met("url:x") && !is_met("b:c"));
        assert!(
            "owner".parse::<LabelCondition>().is_err() && ":x".parse::<LabelCondition>().is_err()
        );
    }
}
