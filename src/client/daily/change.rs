//! Changes of a resource's fields by PATCH.

use serde_json::{Map, Value};
use url::Url;

use super::super::connection::Connection;
use super::super::error::Failure;
use super::labels::LabelArgs;

/// The fields to change; the others stay as they are.
#[derive(Debug, Default)]
pub struct Change(Map<String, Value>);

impl Change {
    /// Adds a field, if it is given.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds the fields of a document.
    #[must_use]
    pub fn with_all(mut self, fields: Map<String, Value>) -> Self {
        self.0.extend(fields);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_document(self) -> Value {
        Value::Object(self.0)
    }

    pub fn into_fields(self) -> Map<String, Value> {
        self.0
    }

    /// Sends the change and returns the changed resource.
    pub async fn send(self, connection: &Connection, resource: Url) -> Result<Value, Failure> {
        self.must_change_something()?;
        connection.patch_for(resource, &self.0, None).await
    }

    /// The same, with a change of labels. The API takes the whole map of labels, so the map is read first; the server
    /// refuses the change if the resource was changed in between.
    pub async fn send_with_labels(
        mut self,
        connection: &Connection,
        resource: Url,
        labels: &LabelArgs,
    ) -> Result<Value, Failure> {
        if labels.is_empty() {
            return self.send(connection, resource).await;
        }
        let (before, tag): (Value, _) = connection.get_tagged(resource.clone()).await?;
        self.0.insert("labels".to_owned(), labels.applied_to(&before["labels"]));
        connection.patch_for(resource, &self.0, tag.as_ref()).await
    }

    fn must_change_something(&self) -> Result<(), Failure> {
        if self.is_empty() {
            return Err(Failure::usage("nothing to change was given; --help lists the fields"));
        }
        Ok(())
    }
}
