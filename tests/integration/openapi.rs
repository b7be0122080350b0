//! The API's description: committed, complete, and true.

use serde_json::Value;

use crate::harness::command::{imagedepot, run};
use crate::harness::{Database, Depot};

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

fn committed() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/imagedepot.json");
    std::fs::read_to_string(path).expect("openapi/imagedepot.json")
}

pub fn document() -> Value {
    serde_json::from_str(&committed()).expect("openapi/imagedepot.json is JSON")
}

/// Every operation as `GET /path` with its description.
pub fn operations(document: &Value) -> Vec<(String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operations.push((format!("{} {path}", method.to_uppercase()), operation.clone()));
            }
        }
    }
    operations
}

#[tokio::test]
async fn the_committed_document_is_what_the_program_prints() {
    let printed = run(imagedepot(["openapi"])).await.successful().stdout;
    assert!(
        printed == committed(),
        "the API has changed; look at the difference and refresh the document:\n\
         cargo run -- openapi > openapi/imagedepot.json"
    );
}

#[tokio::test]
async fn the_server_serves_the_committed_document() {
    let depot = Depot::start(Database::Sqlite).await;
    let served = depot.anonymous().get("/api/openapi.json").await.expecting(200).json();
    assert!(served == document(), "/api/openapi.json differs from openapi/imagedepot.json");
}

#[test]
fn every_operation_says_what_it_does() {
    let document = document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = std::collections::BTreeSet::new();
    for (name, operation) in operations(&document) {
        for field in ["summary", "description", "operationId"] {
            let text = operation[field].as_str().unwrap_or_default();
            assert!(!text.trim().is_empty(), "{name} has no {field}");
        }
        let tags = operation["tags"].as_array().map_or(0, Vec::len);
        assert_eq!(tags, 1, "{name} belongs to one tag");
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(ids.insert(id.clone()), "{id} is the id of two operations");
    }
}

#[test]
fn every_operation_says_how_it_refuses() {
    let document = document();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        let errors: Vec<_> = responses
            .iter()
            .filter(|(status, _)| status.starts_with(['4', '5']) || *status == "default")
            .collect();
        if name != "GET /livez" {
            assert!(!errors.is_empty(), "{name} describes no error");
        }
        for (status, response) in errors {
            let response = resolved(&document, response);
            let content = response["content"].as_object();
            // 304, HEAD and the health answers have a form of their own.
            if name.starts_with("HEAD ") || name.ends_with("/readyz") {
                continue;
            }
            assert!(
                content.is_some_and(|content| content.contains_key("application/problem+json")),
                "{name}: {status} is no problem document"
            );
        }
    }
}

#[test]
fn what_needs_a_right_says_401_and_403() {
    let document = document();
    for (name, operation) in operations(&document) {
        let is_open = operation["security"].as_array().is_some_and(|ways| {
            ways.is_empty()
                || ways.iter().any(|way| way.as_object().is_some_and(serde_json::Map::is_empty))
        });
        if name.contains("/api/v1/") && !is_open {
            for status in ["401", "403"] {
                let described = operation["responses"].get(status).is_some();
                assert!(
                    described || name.ends_with("/whoami"),
                    "{name} does not describe {status}"
                );
            }
        }
    }
}

#[test]
fn bodies_have_examples() {
    let document = document();
    for (name, operation) in operations(&document) {
        let Some(body) = operation["requestBody"]["content"].get("application/json") else {
            continue;
        };
        // An optional body is "null or this".
        let variants = body["schema"]["oneOf"].as_array();
        let schema = variants.and_then(|variants| variants.last()).unwrap_or(&body["schema"]);
        // A list shows one of its items.
        let schema = resolved(&document, schema);
        let schema = schema.get("items").map_or(schema, |items| resolved(&document, items));
        let shown = |value: &Value| !value["example"].is_null() || !value["examples"].is_null();
        let of_fields = schema["properties"].as_object().is_some_and(|all| all.values().any(shown));
        let has_example = shown(body) || shown(schema) || of_fields;
        assert!(has_example, "{name}: the body has no example");
    }
}

/// Follows one `$ref` within the document.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(value, |pointer| {
        document.pointer(pointer).expect("a reference that leads somewhere")
    })
}
