//! Tests that the documents and the table of refusals agree.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn a_code_is_its_variants_name_in_small_letters() {
    for Refusal { code, variant, .. } in TABLE {
        assert_eq!(code.replace('_', ""), variant.to_lowercase());
    }
    let codes: BTreeSet<_> = TABLE.iter().map(|line| line.code).collect();
    assert_eq!(codes.len(), TABLE.len(), "each code stands once");
}

#[test]
fn who_may_come_again_is_told_when() {
    for line in TABLE.iter().filter(|line| line.status == StatusCode::SERVICE_UNAVAILABLE) {
        assert!(line.retry_after.is_some(), "{}", line.code);
    }
}

#[test]
fn a_bits_client_gives_up_only_what_is_wrong_in_itself() {
    for line in TABLE.iter().filter(|line| line.reaction == Reaction::GiveUp) {
        let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        let wrong = line.status.is_client_error() && !passes.contains(&line.status);
        assert!(wrong, "{}", line.code);
    }
}

/// Documents write a refusal as its status and its code.
#[test]
fn refusals_that_documents_name_are_of_the_table() {
    let named = regex::Regex::new(r"\b([45][0-9]{2})\s+`([a-z_]+)`").unwrap();
    let mut found = 0;
    for file in std::fs::read_dir(root().join("docs")).unwrap() {
        let file = file.unwrap().path();
        let text = if file.is_file() { std::fs::read_to_string(&file).unwrap() } else { continue };
        for (_, [status, code]) in named.captures_iter(&text).map(|found| found.extract()) {
            assert_eq!(status_of(code), Some(status), "{code} in {}", file.display());
            found += 1;
        }
    }
    assert!(found > 3, "only {found} were found");
}

/// The responses of the OpenAPI document are listed by status, and their descriptions name codes.
#[test]
fn refusals_that_the_description_names_are_of_the_table() {
    let text = std::fs::read(root().join("openapi/imagedepot.json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let named = regex::Regex::new("`([a-z]+_[a-z_]+)`").unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let mut found = 0;
    for (status, answer) in operations.filter_map(|o| o["responses"].as_object()).flatten() {
        let described = answer["description"].as_str().filter(|_| status.as_str() >= "400");
        for (_, [code]) in named.captures_iter(described.unwrap_or_default()).map(|c| c.extract()) {
            assert_eq!(status_of(code), Some(status.as_str()), "{code}");
            found += 1;
        }
    }
    assert!(found > 100, "only {found} were found");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn status_of(code: &str) -> Option<&'static str> {
    TABLE.iter().find(|line| line.code == code).map(|line| line.status.as_str())
}
