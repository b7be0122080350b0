//! The values that a loaded row may have: others may be able to write to the place of a backup, and its rows become
//! keys of the store, paths of the tree and names in answers.
//!
//! Each value is checked with the types that the API uses. Columns that are not named here only appear in answers, as
//! JSON.

use serde_json::{Map, Value};

use crate::model::certificate_mapping::Rules;
use crate::model::image::Labels;
use crate::model::revision::LARGEST_NUMBER;
use crate::model::{
    AccountName, BlobState, ChannelName, ClientId, Departure, Digest, FileRole, Halted, ImageKind,
    ImageName, MappingName, PromotionKind, PublicationState, ReadAccess, ReportStatus,
    RevisionState, Role, Rollout, Terms, TokenName, TransferState, WebhookName, image, publication,
};

/// The largest number, also for sizes and versions.
const LARGEST: i64 = LARGEST_NUMBER;

/// The largest length of a text in bytes, which is more than any text in a row has.
const LONGEST: usize = 1 << 20;

/// Returns the first column with an invalid value, and what the value should be.
pub(super) fn misfit(table: &str, row: &Map<String, Value>) -> Option<(String, &'static str)> {
    let wrong = row.iter().find_map(|(column, value)| {
        let rule = wrong_in_any(value)
            .or_else(|| wrong_structure(table, column, value))
            .or_else(|| wrong_in(table, column, value))?;
        Some((column.clone(), rule))
    });
    wrong.or_else(|| other_key(row))
}

fn wrong_in_any(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) if text.len() > LONGEST => Some("a text of at most 1 MiB"),
        Value::String(text) if text.contains('\0') => Some("a text without NUL"),
        Value::Number(number) => match number.as_i64() {
            Some(0..=LARGEST) => None,
            _ => Some("a number from 0 to 2^52"),
        },
        _ => None,
    }
}

/// Checks the columns with JSON that a server reads when it starts.
fn wrong_structure(table: &str, column: &str, value: &Value) -> Option<&'static str> {
    let (fits, rule) = match (table, column) {
        ("channel", "promoters") | ("account" | "api_token", "roles") => {
            (is_one_of::<Vec<Role>>(value), "a list of roles")
        }
        ("account" | "api_token" | "webhook", "images") | ("webhook", "types") => {
            (is_one_of::<Vec<String>>(value), "a list of patterns")
        }
        ("image" | "revision", "labels") => (is_one_of::<Labels>(value), "labels"),
        ("pending_promotion", "terms") => (is_one_of::<Terms>(value), "the terms of a promotion"),
        ("promotion", "halted") => {
            (value.is_null() || is_one_of::<Halted>(value), "the halt of a rollout")
        }
        ("promotion", "rollout") => (is_one_of::<Rollout>(value), "a rollout"),
        ("certificate_mapping", "rules") => {
            (value.is_null() || is_one_of::<Rules>(value), "a list of rules")
        }
        _ => return None,
    };
    (!fits).then_some(rule)
}

fn wrong_in(table: &str, column: &str, value: &Value) -> Option<&'static str> {
    let text = value.as_str()?;
    let (fits, rule) = match (table, column) {
        ("image", "name") => (parses::<ImageName>(text), "an image's name"),
        ("image", "kind") => (is_one_of::<ImageKind>(value), "a kind of image"),
        ("image", "extension") => (image::is_extension(text), "an extension"),
        ("channel", "name" | "requires_channel") => {
            (parses::<ChannelName>(text), "a channel's name")
        }
        ("channel", "folder") => {
            (text.is_empty() || parses::<ChannelName>(text), "an empty text or a plain folder name")
        }
        ("channel", "read_access") => (is_one_of::<ReadAccess>(value), "a setting of who may read"),
        ("revision" | "quarantine", "state" | "state_before") => {
            (is_one_of::<RevisionState>(value), "a state of revisions")
        }
        ("blob", "key") => (is_key(text), "32 hexadecimal digits"),
        ("blob", "state") => (is_one_of::<BlobState>(value), "a state of blobs"),
        ("blob", "tail" | "multipart") => (!text.contains(['/', '\\']), "a name without slashes"),
        ("trust_file", "trust_role") => {
            (is_kept_role(text), "the role root or one of the targets'")
        }
        ("trust_number", "trust_role") => (is_lower_case(text), "a role of signed metadata"),
        ("trust_file", "meaning") => (parses::<Digest>(text), "a digest"),
        ("trust_file", "content") => (
            serde_json::from_str::<Value>(text).is_ok_and(|content| content["signed"].is_object()),
            "signed metadata",
        ),
        (_, "digest") => (parses::<Digest>(text), "a digest (`sha256:` and 64 digits)"),
        (_, "role") => (parses::<FileRole>(text), "a file's role"),
        ("pin" | "report", "client") => (parses::<ClientId>(text), "a client's id"),
        ("report", "status" | "counted") => {
            (is_one_of::<ReportStatus>(value), "a state that clients report")
        }
        ("promotion", "kind") => (is_one_of::<PromotionKind>(value), "a kind of promotion"),
        ("promotion", "withdrawal") => (is_one_of::<Departure>(value), "a kind of withdrawal"),
        ("transfer_file", "state") => {
            (is_one_of::<TransferState>(value), "a state of transfer files")
        }
        ("publication", "state") => {
            (is_one_of::<PublicationState>(value), "a state of publications")
        }
        (_, "path") => (publication::is_tree_path(text), "a path below the tree's root"),
        ("account", "name") => (parses::<AccountName>(text), "a user's name"),
        ("api_token", "name") => (parses::<TokenName>(text), "a token's name"),
        ("webhook", "name") => (parses::<WebhookName>(text), "a webhook's name"),
        ("certificate_mapping", "name") => (parses::<MappingName>(text), "a mapping's name"),
        _ => return None,
    };
    (!fits).then_some(rule)
}

/// Checks that keys belong to their names, because names are looked up by their keys.
fn other_key(row: &Map<String, Value>) -> Option<(String, &'static str)> {
    let other = |of: &str, key: &str| {
        let (name, key) = (row.get(of)?.as_str()?, row.get(key)?.as_str()?);
        (name.to_ascii_lowercase() != key).then_some(())
    };
    let rule = "the name in lower case";
    if other("name", "name_key").is_some() {
        return Some(("name_key".to_owned(), rule));
    }
    if other("client", "client_key").is_some() {
        return Some(("client_key".to_owned(), rule));
    }
    other("folder", "folder_key").map(|()| ("folder_key".to_owned(), rule))
}

fn parses<T: std::str::FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

fn is_one_of<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

fn is_kept_role(text: &str) -> bool {
    text == "root" || text == "targets" || text.starts_with("bin-") && is_lower_case(text)
}

fn is_lower_case(text: &str) -> bool {
    text.len() < 20 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-'))
}

fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn misfit_of(table: &str, row: &Value) -> Option<String> {
        misfit(table, row.as_object().unwrap()).map(|(column, _)| column)
    }

    #[test]
    fn no_row_leads_out_of_store_and_tree() {
        let out =
            ["../x", "/etc/passwd", "..", ".", "a/../b", "a\\b", "a\u{1b}[31m", "a\nb", "", "con"];
        let places = [
            ("image", "name"),
            ("image", "extension"),
            ("channel", "name"),
            ("blob", "key"),
            ("file", "digest"),
            ("file", "role"),
            ("publication", "path"),
            ("published_object", "path"),
            ("manifest", "path"),
            ("account", "name"),
        ];
        for (table, column) in places {
            for text in out {
                if (column, text) == ("path", "con")
                    || (table, text) == ("account", "con")
                    || (column, text) == ("extension", "con")
                {
                    continue;
                }
                assert_eq!(
                    misfit_of(table, &json!({column: text})).as_deref(),
                    Some(column),
                    "{table}.{column} = {text:?}"
                );
            }
        }
        assert_eq!(misfit_of("channel", &json!({"folder": "../x"})).as_deref(), Some("folder"));
        assert_eq!(misfit_of("channel", &json!({"folder": ""})), None);
    }

    #[test]
    fn what_is_no_role_rollout_or_rule_is_named() {
        for (table, column, wrong) in [
            ("channel", "promoters", json!(["../x"])),
            ("account", "roles", json!("admin")),
            ("api_token", "images", json!([1])),
            ("image", "labels", json!({"a": 1})),
            ("promotion", "rollout", json!({"percent": 4096})),
            ("certificate_mapping", "rules", json!([{}])),
        ] {
            assert_eq!(
                misfit_of(table, &json!({column: wrong})).as_deref(),
                Some(column),
                "{table}"
            );
        }
        assert_eq!(misfit_of("account", &json!({"roles": ["admin"], "images": ["win*"]})), None);
    }

    #[test]
    fn numbers_out_of_range_and_other_keys_are_named() {
        for number in [json!(-1), json!(i64::MAX), json!(1_u64 << 53), json!(0.5), json!(u64::MAX)]
        {
            assert_eq!(
                misfit_of("revision", &json!({"number": number})).as_deref(),
                Some("number")
            );
        }
        let row = json!({"name": "Win7", "name_key": "win8"});
        assert_eq!(misfit_of("image", &row).as_deref(), Some("name_key"));
        assert_eq!(misfit_of("image", &json!({"name": "Win7", "name_key": "win7"})), None);
    }

    #[test]
    fn what_the_catalog_writes_itself_fits() {
        let blob = json!({"key": "0198f2a4c3d47e0b9d3a6f1e2b4c5d6e", "state": "stored", "size": 3});
        assert_eq!(misfit_of("blob", &blob), None);
        let path =
            json!({"path": "test/win7-office_13.ckm.index", "role": "index", "state": "published"});
        assert_eq!(misfit_of("publication", &path), None);
        assert_eq!(misfit_of("revision", &json!({"notes": "two\nlines, and a / too"})), None);
    }
}
