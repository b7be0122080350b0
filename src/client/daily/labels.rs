//! Labels on the command line: `--label KEY=VALUE`.

use std::str::FromStr;

use serde_json::{Map, Value};

/// A label of an image or a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    key: String,
    value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("a label has the form KEY=VALUE".to_owned()),
        }
    }
}

impl Label {
    /// Returns the label as the API's filters write it: `KEY:VALUE`.
    pub fn as_filter(&self) -> String {
        format!("{}:{}", self.key, self.value)
    }
}

/// Returns the document of these labels.
pub fn document(labels: &[Label]) -> Value {
    let pair = |label: &Label| (label.key.clone(), label.value.clone().into());
    Value::Object(labels.iter().map(pair).collect())
}

/// The labels to set and to remove; the others stay as they are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LabelArgs {
    /// Set this label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Remove the label of this key; may be given several times
    #[arg(long = "remove-label", value_name = "KEY")]
    removed: Vec<String>,
}

impl LabelArgs {
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.removed.is_empty()
    }

    /// Returns the labels after the change.
    pub fn applied_to(&self, labels: &Value) -> Value {
        let mut labels: Map<String, Value> = labels.as_object().cloned().unwrap_or_default();
        labels.retain(|key, _| !self.removed.contains(key));
        for Label { key, value } in &self.labels {
            labels.insert(key.clone(), value.clone().into());
        }
        Value::Object(labels)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_labels_stay_as_they_are() {
        let change = LabelArgs {
            labels: vec!["build=4711".parse().unwrap(), "url=a=b".parse().unwrap()],
            removed: vec!["old".to_owned()],
        };
        let before = json!({"owner": "kim", "old": "x", "build": "1"});
        let after = json!({"owner": "kim", "build": "4711", "url": "a=b"});
        assert_eq!(change.applied_to(&before), after);
        assert!("build".parse::<Label>().is_err() && "=x".parse::<Label>().is_err());
    }
}
