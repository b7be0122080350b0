//! Tests that the server accepts the examples in the document.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::assignments::{NewPromotion, NewRollback};
use crate::api::certificate_mappings::NewMapping;
use crate::api::channels::{ChannelWords, NewChannel};
use crate::api::images::{ChangedImage, NewImage};
use crate::api::pins::NewPin;
use crate::api::reports::NewReport;
use crate::api::revisions::RevisionWords;
use crate::api::rollouts::ChangedRollout;
use crate::api::tokens::NewToken;
use crate::api::update_check::Question;
use crate::api::uploads::json::NewUpload;
use crate::api::users::{ChangedUser, NewUser};
use crate::api::webhooks::{ChangedWebhook, NewWebhook};

const SCHEMA: &str = "#/components/schemas/";

/// Returns the names of all JSON bodies that callers send.
fn sent(document: &Value) -> BTreeSet<&str> {
    let operations = document["paths"].as_object().unwrap().values();
    operations
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["requestBody"]["content"].get("application/json"))
        .filter_map(|body| {
            body["schema"]["$ref"].as_str().or(body["schema"]["items"]["$ref"].as_str())
        })
        .map(|schema| schema.strip_prefix(SCHEMA).unwrap())
        .collect()
}

#[test]
fn every_example_of_a_body_that_callers_send_is_accepted() {
    fn accept<T: DeserializeOwned>(example: &Value) -> Result<(), serde_json::Error> {
        serde_json::from_value::<T>(example.clone()).map(drop)
    }
    type Accept = fn(&Value) -> Result<(), serde_json::Error>;
    let bodies: [(&str, Accept); 18] = [
        ("CertificateMappingToCreate", accept::<NewMapping>),
        ("ChangedImage", accept::<ChangedImage>),
        ("ChangedUser", accept::<ChangedUser>),
        ("ChannelToCreate", accept::<NewChannel>),
        ("ChannelWords", accept::<ChannelWords>),
        ("ImageToCreate", accept::<NewImage>),
        ("PinToCreate", accept::<NewPin>),
        ("PromotionToCreate", accept::<NewPromotion>),
        ("Question", accept::<Question>),
        ("Report", accept::<NewReport>),
        ("RevisionWords", accept::<RevisionWords>),
        ("RollbackToCreate", accept::<NewRollback>),
        ("RolloutToChange", accept::<ChangedRollout>),
        ("TokenToCreate", accept::<NewToken>),
        ("UploadToCreate", accept::<NewUpload>),
        ("UserToCreate", accept::<NewUser>),
        ("WebhookToCreate", accept::<NewWebhook>),
        ("WebhookUpdate", accept::<ChangedWebhook>),
    ];
    let document = serde_json::to_value(super::document()).unwrap();
    let tried: BTreeSet<_> = bodies.iter().map(|(name, _)| *name).collect();
    assert_eq!(sent(&document), tried);
    for (name, accept) in bodies {
        let example = &document["components"]["schemas"][name]["example"];
        accept(example).unwrap_or_else(|error| panic!("{name}: {error} in {example}"));
    }
}
