//! The states before and after a change, as a row keeps them: only what differs, and of that a limited amount.
//!
//! Rejected: keeping both states whole. A publisher who repeatedly changes a long description would fill the database
//! with copies of it, permanently. A text that is cut is recorded with its length and SHA-256, so that anyone who has
//! the whole text can prove that it is this one.

use serde_json::{Map, Value, json};

use crate::model::Digest;
use crate::storage::canonical_json;

/// The length in bytes above which a text is cut.
const LONGEST_TEXT: usize = 256;

/// The length in bytes of the start that is kept of a cut text.
const START: usize = 128;

/// The size limit for each state as JSON, so that a row has at most 4 KiB.
const STATE_LIMIT: usize = 1600;

/// The maximum size of a note about what was left out.
const NOTE: usize = 160;

/// The key of such a note in an object. Labels and fields have no such names.
const LEFT_OUT: &str = "(left out)";

/// Returns the states to keep: of two objects only what differs, of a creation the whole new state, of a deletion the
/// whole old state.
pub(super) fn kept(
    mut before: Option<Value>,
    mut after: Option<Value>,
) -> (Option<Value>, Option<Value>) {
    if let (Some(before), Some(after)) = (&mut before, &mut after) {
        leave_equal_out(before, after);
    }
    (before.map(|state| bounded(&state)), after.map(|state| bounded(&state)))
}

fn leave_equal_out(before: &mut Value, after: &mut Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
    before.retain(|key, value| {
        let is_equal = after.get(key).is_some_and(|other| other == value);
        if is_equal {
            after.remove(key);
        }
        !is_equal
    });
    for (key, value) in before {
        if let Some(other) = after.get_mut(key) {
            leave_equal_out(value, other);
        }
    }
}

fn bounded(state: &Value) -> Value {
    let mut room = STATE_LIMIT;
    fit(state, &mut room).unwrap_or_else(|| whole_left_out(state))
}

/// Returns the value, shortened if necessary; none if there is not enough space for it.
fn fit(value: &Value, room: &mut usize) -> Option<Value> {
    match value {
        Value::String(text) if text.len() > LONGEST_TEXT => within(cut(text), room),
        Value::Array(items) => fit_items(items, value, room),
        Value::Object(fields) => fit_fields(fields, value, room),
        plain => within(plain.clone(), room),
    }
}

fn within(value: Value, room: &mut usize) -> Option<Value> {
    // Including the comma that follows.
    *room = room.checked_sub(length(&value) + 1)?;
    Some(value)
}

fn fit_items(items: &[Value], whole: &Value, room: &mut usize) -> Option<Value> {
    *room = room.checked_sub(NOTE)?;
    let mut kept: Vec<Value> = items.iter().map_while(|item| fit(item, room)).collect();
    if kept.len() < items.len() {
        kept.push(left_out(items.len() - kept.len(), whole));
    } else {
        *room += NOTE - 2;
    }
    Some(Value::Array(kept))
}

/// Keeps the short fields first: states and numbers say more than the end of a long list.
fn fit_fields(fields: &Map<String, Value>, whole: &Value, room: &mut usize) -> Option<Value> {
    *room = room.checked_sub(NOTE)?;
    let mut by_length: Vec<_> = fields.iter().map(|field| (wanted(field.1), field)).collect();
    by_length.sort_by_key(|(wanted, _)| *wanted);
    let mut kept = Map::new();
    for (_, (key, value)) in by_length {
        let Some(mut rest) = room.checked_sub(length(&json!(key)) + 1) else { continue };
        if let Some(value) = fit(value, &mut rest) {
            *room = rest;
            kept.insert(key.clone(), value);
        }
    }
    if kept.len() < fields.len() {
        kept.insert(LEFT_OUT.to_owned(), left_out(fields.len() - kept.len(), whole));
    } else {
        *room += NOTE - 2;
    }
    Some(Value::Object(kept))
}

/// Returns the size of the value if there is enough space for all of it.
fn wanted(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len().min(LONGEST_TEXT),
        other => length(other),
    }
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

fn cut(text: &str) -> Value {
    json!({
        "start": text[..text.floor_char_boundary(START)],
        "bytes": text.len(),
        "sha256": Digest::of(text.as_bytes()).to_hex(),
    })
}

/// Returns the note, with the digest of the whole list or object that the items were part of.
fn left_out(count: usize, whole: &Value) -> Value {
    json!({"count": count, "sha256_of_all": digest(whole)})
}

fn whole_left_out(whole: &Value) -> Value {
    json!({"bytes": length(whole), "sha256": digest(whole)})
}

fn digest(value: &Value) -> String {
    Digest::of(canonical_json(value).as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_change(before: Value, after: Value) -> (Value, Value) {
        let (before, after) = kept(Some(before), Some(after));
        (before.unwrap(), after.unwrap())
    }

    #[test]
    fn what_a_change_left_alone_is_not_kept() {
        let before = json!({"name": "a", "keep": 1, "labels": {"x": "1", "y": "2"}, "gone": true});
        let after = json!({"name": "a", "keep": 2, "labels": {"x": "1", "y": "3"}, "new": null});
        let (before, after) = of_change(before, after);
        assert_eq!(before, json!({"keep": 1, "labels": {"y": "2"}, "gone": true}));
        assert_eq!(after, json!({"keep": 2, "labels": {"y": "3"}, "new": null}));
    }

    #[test]
    fn of_a_creation_and_a_deletion_all_is_kept() {
        let state = json!({"name": "a", "files": [{"role": "ckm"}], "note": "x".repeat(256)});
        assert_eq!(kept(None, Some(state.clone())), (None, Some(state.clone())));
        assert_eq!(kept(Some(state.clone()), None), (Some(state), None));
    }

    #[test]
    fn of_a_long_text_is_kept_what_tells_it_from_others() {
        let text = "ä".repeat(300);
        let (_, after) = kept(None, Some(json!({"description": text})));
        let kept = &after.unwrap()["description"];
        assert_eq!(kept["start"], "ä".repeat(64));
        assert_eq!(kept["bytes"], 600);
        assert_eq!(kept["sha256"], Digest::of(text.as_bytes()).to_hex());
    }

    #[test]
    fn a_row_stays_short_whatever_comes() {
        let labels: Map<_, _> =
            (0..5000).map(|n| (format!("label-{n}"), json!("v".repeat(200)))).collect();
        let mut nested = json!("\u{1}".repeat(10_000));
        for _ in 0..100 {
            nested = json!([nested, nested.to_string().len()]);
        }
        let long_keys: Map<_, _> =
            (0..9).map(|n| (format!("{n}").repeat(3000), json!(1))).collect();
        let lists = json!(vec![vec!["\u{1}".repeat(250); 9]; 99]);
        for state in [json!(labels), nested, json!(long_keys), lists, json!("\u{1}".repeat(9999))] {
            let kept = bounded(&state).to_string();
            assert!(kept.len() <= STATE_LIMIT, "{} bytes: {kept}", kept.len());
            assert!(kept.contains("sha256"), "{kept}");
        }
        let state = bounded(&json!({"labels": labels, "state": "ready", "list": vec!["x"; 2000]}));
        assert_eq!(state["state"], "ready");
        assert!(
            state["(left out)"]["count"] == 1 || state["labels"]["(left out)"]["count"].is_u64()
        );
    }
}
