//! The API's description avoids what generators of clients fail on. [`super::generated_clients`] tries known
//! generators; the rules here hold for all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Database, Depot};
use crate::openapi::{document, operations, resolved};

fn schemas(document: &Value) -> &serde_json::Map<String, Value> {
    document["components"]["schemas"].as_object().expect("schemas")
}

/// Every schema, wherever it stands, with the place.
fn all_schemas(document: &Value) -> Vec<(String, Value)> {
    fn collect(place: String, value: &Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields.iter().filter(|(name, _)| *name != "example") {
                    collect(format!("{place}/{name}"), field, found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    collect(format!("{place}/{index}"), item, found);
                }
            }
            _ => {}
        }
        found.push((place, value.clone()));
    }
    let mut found = Vec::new();
    collect(String::new(), document, &mut found);
    found
}

#[test]
fn no_tag_is_listed_twice_and_every_tag_is_listed() {
    let document = document();
    let listed: Vec<_> =
        document["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].clone()).collect();
    for tag in &listed {
        assert_eq!(listed.iter().filter(|other| *other == tag).count(), 1, "{tag} is there twice");
    }
    for (name, operation) in operations(&document) {
        assert!(
            listed.contains(&operation["tags"][0]),
            "{name}: {} is not listed",
            operation["tags"]
        );
    }
}

#[test]
fn no_schema_is_called_as_what_go_makes_of_another() {
    let document = document();
    for name in schemas(&document).keys() {
        for taken in
            [format!("New{name}"), format!("New{name}WithDefaults"), format!("Nullable{name}")]
        {
            assert!(
                !schemas(&document).contains_key(&taken),
                "{taken} is Go's constructor of {name}"
            );
        }
    }
}

#[test]
fn no_two_values_of_enumerations_make_one_constant() {
    let document = document();
    let mut constants = BTreeMap::new();
    for (name, schema) in schemas(&document) {
        let Some(values) = schema["enum"].as_array() else { continue };
        let named = schema["x-enum-varnames"].as_array().unwrap_or(values);
        assert_eq!(named.len(), values.len(), "{name}");
        for constant in named {
            let constant = constant.as_str().expect("a name").to_ascii_uppercase();
            if let Some(other) = constants.insert(constant.clone(), name) {
                panic!("{constant} is of {other} and of {name}");
            }
        }
    }
}

#[test]
fn nothing_is_a_choice_between_objects() {
    for (place, value) in all_schemas(&document()) {
        for choice in ["oneOf", "anyOf"] {
            let Some(variants) = value[choice].as_array() else { continue };
            let others = variants.iter().filter(|variant| variant["type"] != "null").count();
            assert!(others < 2, "{place}: nothing says which of {others} it is");
        }
    }
}

#[test]
fn pages_refer_to_what_is_on_them() {
    let document = document();
    let mut pages = 0;
    for (name, schema) in schemas(&document) {
        let Some(item) = name.strip_prefix("Page_") else { continue };
        let items = &schema["properties"]["items"]["items"];
        assert_eq!(*items, json!({"$ref": format!("#/components/schemas/{item}")}), "{name}");
        pages += 1;
    }
    assert!(pages > 8, "there are {pages} pages");
}

#[test]
fn what_takes_bytes_says_so() {
    let document = document();
    for (path, method) in [
        ("/api/v1/uploads/{upload}", "patch"),
        ("/api/v1/images/{image}/revisions/{revision}/files/{role}", "put"),
    ] {
        let body = &document["paths"][path][method]["requestBody"];
        let schema = &body["content"]["application/octet-stream"]["schema"];
        assert_eq!(resolved(&document, schema)["format"], "binary", "{method} {path}: {body}");
    }
}

/// The first success is what generators take for the type of the answer.
#[test]
fn an_upload_that_begins_is_answered_with_the_upload() {
    let document = document();
    let responses = &document["paths"]["/api/v1/uploads"]["post"]["responses"];
    let first = responses.as_object().expect("responses").keys().min().expect("one");
    assert_eq!(first, "201");
    let schema = &responses[first]["content"]["application/json"]["schema"];
    assert_eq!(*schema, json!({"$ref": "#/components/schemas/Upload"}));
}

#[test]
fn no_parameter_is_null() {
    let document = document();
    for (name, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["schema"]["type"].is_string() || !parameter["schema"]["$ref"].is_null(),
                "{name}: {parameter}"
            );
        }
    }
}

#[test]
fn names_have_their_limits() {
    let document = document();
    let mut parameters = 0;
    for (name, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = &parameter["schema"];
            match parameter["name"].as_str().expect("a name") {
                "image" | "channel" | "client" | "name" => {
                    assert!(schema["pattern"].is_string(), "{name}: {parameter}");
                    assert!(schema["maxLength"].is_number(), "{name}: {parameter}");
                    parameters += 1;
                }
                "revision" if parameter["in"] == "path" => {
                    assert_eq!(schema["minimum"], 1, "{name}: {parameter}");
                }
                _ => {}
            }
        }
    }
    assert!(parameters > 30, "{parameters} parameters are names");
    for (name, schema) in schemas(&document).iter().filter(|(name, _)| name.ends_with("ToCreate")) {
        for field in ["name", "image"] {
            let field = &schema["properties"][field];
            assert!(field.is_null() || field["pattern"].is_string(), "{name}: {field}");
        }
    }
}

#[test]
fn what_all_operations_of_a_kind_answer_is_described_at_each() {
    let document = document();
    for (name, operation) in operations(&document) {
        let described: BTreeSet<&str> = operation["responses"]
            .as_object()
            .expect("responses")
            .keys()
            .map(String::as_str)
            .collect();
        let (method, path) = name.split_once(' ').expect("a method and a path");
        let content = &operation["responses"]["200"]["content"];
        let schema = content["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let is_one = path.ends_with('}') && schema.starts_with("#/components/schemas/");
        let expected: &[&str] = match method {
            _ if !path.starts_with("/api/v1/") => &[],
            "GET" | "HEAD" if path.contains("/files/") || path.ends_with("/prestage") => {
                &["304", "409", "412", "416", "429"]
            }
            "GET" if is_one => &["304", "429"],
            "POST" if path.ends_with("/update-check") => &["408", "413", "415", "422", "429"],
            "POST" | "PUT" | "PATCH" | "DELETE" => {
                &["408", "409", "412", "413", "415", "422", "429"]
            }
            _ => &["429"],
        };
        for status in expected {
            assert!(described.contains(status), "{name} does not describe {status}");
        }
    }
}

#[tokio::test]
async fn the_server_takes_every_example_of_what_is_to_be_made() {
    let (document, depot) = (document(), Depot::start(Database::Sqlite).await);
    let admin = depot.admin();
    let example = |schema: &str| {
        let example = &schemas(&document)[schema]["example"];
        assert!(example.is_object(), "{schema} has no example");
        example.clone()
    };
    let sales = json!({"name": "sales", "password": "correct horse battery", "roles": ["client"]});
    admin.post("/api/v1/users").json(&sales).await.expecting(201);
    for (path, schema) in [
        ("/api/v1/images", "ImageToCreate"),
        ("/api/v1/channels", "ChannelToCreate"),
        ("/api/v1/users", "UserToCreate"),
        ("/api/v1/tokens", "TokenToCreate"),
        ("/api/v1/certificate-mappings", "CertificateMappingToCreate"),
    ] {
        admin.post(path).json(&example(schema)).await.expecting(201);
    }
    for number in 1..=12 {
        assert_eq!(admin.draft("win7-office").await, number);
        if number == 12 {
            // The machine of the test may have no room for all of it.
            let mut upload = example("UploadToCreate");
            upload["size"] = json!(1);
            admin.post("/api/v1/uploads").json(&upload).await.expecting(201);
        }
        admin.put_file("win7-office", number, "ckm", b"c").await.expecting(201);
        admin.put_file("win7-office", number, "index", b"i").await.expecting(201);
        admin.seal("win7-office", number).await.expecting(200);
    }
    let production = "/api/v1/images/win7-office/channels/production";
    admin.promote("win7-office", "production", 11).await.expecting(200);
    admin.put(production).json(&example("PromotionToCreate")).await.expecting(200);
    let rollback = format!("{production}/rollback");
    admin.post(&rollback).json(&example("RollbackToCreate")).await.expecting(200);
    for (path, schema) in [
        ("/api/v1/images/win7-office", "ChangedImage"),
        ("/api/v1/images/win7-office/revisions/12", "RevisionWords"),
        ("/api/v1/channels/pilot", "ChannelWords"),
        ("/api/v1/users/packer", "ChangedUser"),
    ] {
        admin.patch(path).json(&example(schema)).await.expecting(200);
    }
    let questions = json!([example("Question")]);
    let answers = depot.anonymous().post("/api/v1/update-check").json(&questions).await;
    assert_eq!(answers.expecting(200).items()[0]["action"], "none");
}
