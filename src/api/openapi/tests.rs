//! Tests that the server accepts the examples in the document, and what it reads from the committed text.

use std::collections::BTreeSet;

use actix_web::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::assignments::{NewPromotion, NewRollback};
use crate::api::certificate_mappings::NewMapping;
use crate::api::channels::{ChannelWords, NewChannel};
use crate::api::conventions::documented_routes::Routes;
use crate::api::images::{ChangedImage, NewImage};
use crate::api::mirrors::NewMirror;
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
    let bodies: [(&str, Accept); 19] = [
        ("CertificateMappingToCreate", accept::<NewMapping>),
        ("ChangedImage", accept::<ChangedImage>),
        ("ChangedUser", accept::<ChangedUser>),
        ("ChannelToCreate", accept::<NewChannel>),
        ("ChannelWords", accept::<ChannelWords>),
        ("ImageToCreate", accept::<NewImage>),
        ("MirrorReport", accept::<NewMirror>),
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

#[test]
fn the_committed_document_has_the_methods_and_query_parameters_of_each_path() {
    let routes = Routes::of(super::COMMITTED);
    let path = "/api/v1/images/win7-office";
    assert_eq!(routes.allowed(path).as_deref(), Some("GET, HEAD, PATCH, DELETE"));
    let known = routes.parameters("/api/v1/audit", &Method::GET).unwrap();
    assert!(known.iter().any(|name| name == "caller"), "{known:?}");
    assert!(routes.parameters(path, &Method::PUT).is_none());
}

#[test]
fn the_served_document_is_the_committed_one_with_the_servers_address() {
    let url = "https://images.example.com/depot/";
    let served: Value = serde_json::from_slice(&super::served_text(Some(url))).unwrap();
    let mut committed: Value = serde_json::from_str(super::COMMITTED).unwrap();
    assert_eq!(super::served_text(None), super::COMMITTED);
    committed["servers"] = json!([{"url": url}]);
    assert_eq!(served, committed);
}
